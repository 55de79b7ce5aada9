"""The neutral vocabulary: what an agent run can say.

A dialect reads its frames into these events; the translator makes chunks of them. One run, in order:

    RunStarted (TickStarted … MessageEnded … TickEnded)* RunResult? (RunEnded | RunFailed)

Everything between is optional, may be doubled, and may come in any order; only the last word counts as an end.
Token counts are integers of tokens; call ids are the agent's own.
"""

from __future__ import annotations

from typing import NamedTuple


class Usage(NamedTuple):
    """Tokens that a model call or a whole run used, as the agent counts them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class RunStarted(NamedTuple):
    """The agent took the turn."""


class TickStarted(NamedTuple):
    """One model turn begins."""


class TextStarted(NamedTuple):
    """A block of text begins; citations in it count from here."""

    new_message: bool = False
    """It is of another message than the text before."""


class TextDelta(NamedTuple):
    text: str


class TextDeltas(NamedTuple):
    """Several deltas of one block of text at once.

    `text`: of all of them. `encoded`: of each, as the inside of a JSON string, not empty, valid UTF-8 and safe for
    every reader, so that it can be sent on as it is.
    """

    text: str
    encoded: list[bytes]


class Citation(NamedTuple):
    """Where a statement comes from. `start` and `end`: characters of its block of text, None if not told."""

    url: str
    title: str
    start: int | None
    end: int | None


class TextCited(NamedTuple):
    """What the current block of text refers to."""

    citations: tuple[Citation, ...]


class ReasoningStarted(NamedTuple):
    """Another thought begins, apart from the one before."""


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
    """The whole call, with or without the pieces before it."""

    call_id: str
    name: str
    arguments: str
    is_early: bool = False
    """The message that calls did not stream, and is told later: behind what the tools do, but before the tick ends."""


class ToolCallHandled(NamedTuple):
    """Nobody else is to act on this call: the agent has really run the tool, and not put something in its place."""

    call_id: str


class MessageEnded(NamedTuple):
    """One model call has said its last piece; the run goes on."""

    stop_reason: str
    usage: Usage | None


class MessageCompleted(NamedTuple):
    """The whole message again, or for the first time when the model does not stream."""

    text: str
    reasoning: str
    stop_reason: str
    usage: Usage | None


class MessageUsed(NamedTuple):
    """Tokens of the current model call, told on their own."""

    usage: Usage | None


class ToolStarted(NamedTuple):
    """The agent begins to run a tool itself."""

    call_id: str
    name: str


class ToolFinished(NamedTuple):
    """The agent has run a tool. `seconds`: how long it took, None if not told."""

    call_id: str
    name: str
    result: str
    is_error: bool
    seconds: float | None
    is_placeholder: bool = False
    """The result only stands in the place of one that a client has to give: nothing was run."""


class SubagentFinished(NamedTuple):
    """A child or a branch that the agent started has come to its end."""

    name: str
    output: str
    is_error: bool


class ConfirmationRequired(NamedTuple):
    """The agent waits for a human before it runs a tool."""

    call_id: str
    name: str
    arguments: str
    """JSON text."""
    message: str


class TickEnded(NamedTuple):
    continues: bool
    """What the agent says of the next tick; still true when its own tick limit stops the run."""
    stop_reason: str
    usage: Usage | None


class ModelFailed(NamedTuple):
    """A model error that the agent may survive: the reason only if nothing better comes."""

    message: str


class RunResult(NamedTuple):
    """The run's own summary."""

    text: str
    stop_reason: str
    usage: Usage | None


class RunEnded(NamedTuple):
    """The agent's last word: it is done."""

    waits_for: ConfirmationRequired | None = None
    """The tool calls on which it ended, as a question, if they may wait for a human as well as for a client."""


class RunFailed(NamedTuple):
    """The agent's last word: it failed."""

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
