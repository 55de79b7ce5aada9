"""The parts of an answer: a translator makes them from a run, and each client API encodes them.

One answer, in order:

    AnswerStarted (TextPart | TextBatch | ReasoningPart | ToolCallOpened | ToolCallArguments | AgentToolCalled |
    AgentToolReturned | Annotations)* AnswerFinished UsageTotals?
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Any, NamedTuple

from .events import TextDeltas


class FinishReason(Enum):
    """Why an answer ended. Each API maps it to a word of its own; the values are for logs and metrics."""

    STOP = "stop"
    """The answer is complete."""
    LENGTH = "length"
    """A limit of tokens or of ticks was reached."""
    TOOL_CALLS = "tool_calls"
    """The client is to run the tools that were called."""
    CONTENT_FILTER = "content_filter"


class Envelope(NamedTuple):
    """The identity of one answer. `created`: Unix time in seconds."""

    id: str
    created: int
    model: str


@dataclass(slots=True)
class AnswerStarted:
    """The first part, once in each answer as the last two: a named tuple takes 1.5 k instructions more to make.

    `with_text`: false if the next part opens a tool call."""

    with_text: bool = True


class TextPart(NamedTuple):
    text: str


TextBatch = TextDeltas
"""Several pieces of text. The event itself is the part: a copy would cost 2.9 of 40 k instructions a delta."""


class ReasoningPart(NamedTuple):
    text: str


class ToolCallOpened(NamedTuple):
    """A call of a tool that the client is to run; its arguments follow."""

    position: int
    """The call's index in the answer: from 0, without gaps."""
    id: str
    name: str
    needs_words: bool = False
    """The call is a question of the agent's that no approval answers."""


class ToolCallArguments(NamedTuple):
    """The next piece of a call's arguments, which are JSON text."""

    position: int
    arguments: str


class AgentToolCalled(NamedTuple):
    """The agent runs a tool of its own, or a child agent. The client has nothing to run."""

    id: str
    name: str
    arguments: str
    """JSON text."""
    agent: str = ""
    """The name of the child agent that calls the tool; empty for the agent itself."""


class AgentToolReturned(NamedTuple):
    """The result of an AgentToolCalled with the same id."""

    id: str
    output: str
    error: str | None = None
    """The message of a tool that failed."""
    truncated: bool = False
    """`output` is only the beginning of the result."""


class UrlCitation(NamedTuple):
    """A source of the answer's text. `start` and `end`: characters of the whole text."""

    url: str
    title: str
    start: int
    end: int


class Annotations(NamedTuple):
    """Citations of text that was sent before; each of them once in an answer."""

    citations: tuple[UrlCitation, ...]


@dataclass(slots=True)
class AnswerFinished:
    """The end of the answer's content; only UsageTotals may follow."""

    reason: FinishReason


@dataclass(slots=True)
class UsageTotals:
    """Tokens of the whole run. A detail that the agent does not report is None."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


Part = (
    AnswerStarted
    | TextPart
    | TextBatch
    | ReasoningPart
    | ToolCallOpened
    | ToolCallArguments
    | AgentToolCalled
    | AgentToolReturned
    | Annotations
    | AnswerFinished
    | UsageTotals
)


_TEXT_OF: dict[type[Any], Callable[[Any], str]] = {
    TextPart: attrgetter("text"),
    TextBatch: attrgetter("text"),
    ReasoningPart: attrgetter("text"),
    ToolCallArguments: attrgetter("arguments"),
    AgentToolCalled: attrgetter("arguments"),
    AgentToolReturned: attrgetter("output"),
}


def size_of(part: Part) -> int:
    """Characters of text, reasoning, arguments and tool output in the part."""
    text_of = _TEXT_OF.get(type(part))
    return 0 if text_of is None else len(text_of(part))
