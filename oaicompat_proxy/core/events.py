"""The events of an agent's run, independent of the gateway's protocol.

A dialect reads its frames into these events; the translator makes the parts of an answer from them.
One run, in order:

    RunStarted (TickStarted … MessageEnded … TickEnded)* RunResult? (RunEnded | RunFailed)

All other events are optional, may repeat, and may come in any order; only RunEnded or RunFailed ends a run. A
`call_id` is the agent's id of a tool call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class Usage:
    """Tokens of a model call or of a whole run, as the agent counts them.

    A named tuple would take 3.2 instead of 2.3 k instructions to make, three times a run.
    """

    input_tokens: int
    output_tokens: int
    total_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    """Input tokens that were read from a cache."""
    cache_write_tokens: int | None = None
    """Input tokens that were written to a cache."""


class RunStarted(NamedTuple):
    """The agent accepted the turn."""


class TickStarted(NamedTuple):
    """A tick begins: one call of the model, and the tools that it calls."""


class TextStarted(NamedTuple):
    """A block of text begins; the positions of its citations count from here."""

    new_message: bool = False
    """The block belongs to another message than the text before."""


class TextDelta(NamedTuple):
    text: str


@dataclass(slots=True)
class TextDeltas:
    """Several deltas of one block of text. A named tuple would take 2.9 instead of 1.7 k instructions to make.

    `text`: all of them. `encoded`: each as the inside of a JSON string, not empty, valid UTF-8 and without characters
    that some clients take for line ends, so it can be sent unchanged.
    """

    text: str
    encoded: list[bytes]


class Citation(NamedTuple):
    """A source of the text. `start` and `end`: characters of its block of text, None if unknown."""

    url: str
    title: str
    start: int | None
    end: int | None


class TextCited(NamedTuple):
    """Sources of the current block of text."""

    citations: tuple[Citation, ...]


class ReasoningStarted(NamedTuple):
    """A block of reasoning begins."""


class ReasoningDelta(NamedTuple):
    text: str


class ToolCallStarted(NamedTuple):
    call_id: str
    name: str


class ToolCallDelta(NamedTuple):
    call_id: str
    arguments: str
    """The next piece of the JSON text."""


class ToolCallEnded(NamedTuple):
    call_id: str


class ToolCalled(NamedTuple):
    """A whole call; its pieces may have come before as deltas."""

    call_id: str
    name: str
    arguments: str
    is_early: bool = False
    """The text of the call's message comes later, whole: after the tools have run, before the end of the tick."""


class ToolCallHandled(NamedTuple):
    """The agent ran the tool itself, so the call is not the client's."""

    call_id: str


class MessageEnded(NamedTuple):
    """The model's message is complete; the run goes on."""

    stop_reason: str
    usage: Usage | None


class MessageCompleted(NamedTuple):
    """The whole message: a copy, or its only form if the model does not stream."""

    text: str
    reasoning: str
    stop_reason: str
    usage: Usage | None


class MessageUsed(NamedTuple):
    """Tokens of the current model call, from a gateway that reports them in a separate event."""

    usage: Usage | None


class ToolStarted(NamedTuple):
    """The agent starts to run a tool itself."""

    call_id: str
    name: str


class ToolFinished(NamedTuple):
    """The agent has run a tool. `seconds`: the duration, None if unknown."""

    call_id: str
    name: str
    result: str
    is_error: bool
    seconds: float | None
    is_placeholder: bool = False
    """No tool ran: the result only stands in for the one that the client has to give."""


class SubagentFinished(NamedTuple):
    """A sub-agent, or a branch of the agent, has finished."""

    name: str
    output: str
    is_error: bool


class ConfirmationRequired(NamedTuple):
    """The agent waits for a human's confirmation before it runs a tool."""

    call_id: str
    name: str
    arguments: str
    """JSON text."""
    message: str
    needs_words: bool = False
    """A yes or no to named tools is no complete answer."""


class TickEnded(NamedTuple):
    continues: bool
    """The agent wants another tick; also true when its own limit of ticks stops the run."""
    stop_reason: str
    usage: Usage | None


class ModelFailed(NamedTuple):
    """An error of the model. The agent may recover; the error is reported only if the run fails without a reason."""

    message: str


class RunResult(NamedTuple):
    """The run's own summary."""

    text: str
    stop_reason: str
    usage: Usage | None


class RunEnded(NamedTuple):
    """The last event of a run that succeeded."""

    waits_for: ConfirmationRequired | None = None
    """The run ended on tool calls that either the client runs or a human confirms: the question for the human."""


class RunFailed(NamedTuple):
    """The last event of a run that failed."""

    message: str
    aborted: bool = False
    unknown_app: bool = False


Event = (
    RunStarted
    | TickStarted
    | TextStarted
    | TextDelta
    | TextDeltas
    | TextCited
    | ReasoningStarted
    | ReasoningDelta
    | ToolCallStarted
    | ToolCallDelta
    | ToolCallEnded
    | ToolCalled
    | ToolCallHandled
    | MessageEnded
    | MessageCompleted
    | MessageUsed
    | ToolStarted
    | ToolFinished
    | SubagentFinished
    | ConfirmationRequired
    | TickEnded
    | ModelFailed
    | RunResult
    | RunEnded
    | RunFailed
)
