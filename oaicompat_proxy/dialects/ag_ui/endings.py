"""How a run ends: well, with a failure, or with a question to a human.

Source: AG-UI 1.0, `RUN_FINISHED` with its outcomes, `RUN_ERROR`, and `MESSAGES_SNAPSHOT` as the last resort for the
text of an agent that does not stream.
"""

from __future__ import annotations

from ...core.errors import UpstreamError
from ...core.events import Event, MessageCompleted, RunEnded, RunFailed, RunResult, ToolCalled
from .fields import Data, objects_of, text_of, usage_of
from .interrupts import read_confirmation_calls, read_customs, read_open_calls, read_outcome
from .tool_calls import ToolCalls

_STOP_REASONS = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens"), "max_tokens"),
    **dict.fromkeys(("content_filter", "content_filtered", "guardrail_intervened", "safety"), "content_filter"),
}
"""What producers call the ends that a client must be told of, with `_` for `-`."""

SILENT_ROLES = {"activity", "reasoning"}
"""Messages of a snapshot that are no part of the conversation."""


def read_error(data: Data) -> RunFailed:
    """The code is told with the message: the two together say what the failure means."""
    message, code = text_of(data, "message"), text_of(data, "code")
    return RunFailed(f"{message} ({code})" if code and code not in message else message)


def stop_reason_of(data: Data) -> str:
    """Why the model stopped, from `metadata.finishReason` of an event: the protocol has no field of its own for it."""
    metadata = data.get("metadata")
    told = text_of(metadata, "finishReason").lower().replace("-", "_") if isinstance(metadata, dict) else ""
    return _STOP_REASONS.get(told, told)


def read_end(data: Data, calls: ToolCalls, customs: list[Data], *, silent: bool, stop_reason: str = "") -> list[Event]:
    """What `RUN_FINISHED` says.

    `customs`: the run's `on_interrupt` events. `silent`: the run has said nothing so far, so its result may be the
    answer. `stop_reason`: why the model stopped, if that is known.
    """
    outcome = _outcome_of(data)
    kind = text_of(outcome, "type")
    if kind == "cancelled":
        return [RunFailed("The run was cancelled.", aborted=True)]
    usage = usage_of(data)
    asked = read_outcome(outcome, calls.open) or read_customs(customs, calls.open)
    asked = asked or read_confirmation_calls(calls.open)
    if asked is not None:
        return [RunResult("", stop_reason, usage), asked]
    if kind == "interrupt":
        raise UpstreamError("The agent waits for an answer, and does not say to what.")
    pending = outcome.get("pendingToolCallIds")
    settled, waits_for = list[Event](), None
    if pending:  # the agent says which calls are the client's to run; an empty list says nothing
        settled = calls.settle_all_but(pending)
    else:
        waits_for = read_open_calls(calls.open, text_of(data, "runId"))
    text = text_of(data, "result") if silent else ""
    return [*settled, RunResult(text, stop_reason, usage), RunEnded(waits_for)]


def _outcome_of(data: Data) -> Data:
    """An object in 1.0; before, a string, with the interrupt beside it."""
    outcome = data.get("outcome")
    if isinstance(outcome, dict):
        return outcome
    interrupts = data.get("interrupts") or [data.get("interrupt")]
    return {"type": outcome, "interrupts": interrupts}


def read_snapshot(data: Data) -> list[Event]:
    """The last message of the conversation, if it is the agent's: what it said, and what it calls."""
    messages = [message for message in objects_of(data, "messages") if not message.get("subagentRunId")]
    spoken = [message for message in messages if message.get("role") not in SILENT_ROLES]
    if not spoken or spoken[-1].get("role") != "assistant":
        return []
    calls = [_snapshot_call(call) for call in objects_of(spoken[-1], "toolCalls")]
    return [MessageCompleted(text_of(spoken[-1], "content"), "", "", None), *calls]


def _snapshot_call(call: Data) -> ToolCalled:
    function = call.get("function")
    if not isinstance(function, dict):
        function = {}
    return ToolCalled(text_of(call, "id"), text_of(function, "name"), text_of(function, "arguments"))
