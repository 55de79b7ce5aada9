"""How a run ends: well, with a failure, or with a question to a human.

Source: AG-UI 1.0, `RUN_FINISHED` with its outcomes, `RUN_ERROR`, and `MESSAGES_SNAPSHOT` as the last resort for the
text of an agent that does not stream.
"""

from __future__ import annotations

from ...events import Event, MessageCompleted, RunEnded, RunFailed, RunResult, ToolCalled
from .fields import Data, objects_of, text_of, usage_of
from .interrupts import read_customs, read_open_calls, read_outcome
from .tool_calls import ToolCalls

SILENT_ROLES = {"activity", "reasoning"}
"""Messages of a snapshot that are no part of the conversation."""


def read_error(data: Data) -> RunFailed:
    """The code is told with the message: the two together say what the failure means."""
    message, code = text_of(data, "message"), text_of(data, "code")
    return RunFailed(f"{message} ({code})" if code and code not in message else message)


def read_end(data: Data, calls: ToolCalls, customs: list[Data], *, silent: bool) -> list[Event]:
    """What `RUN_FINISHED` says.

    `customs`: the run's `on_interrupt` events. `silent`: the run has said nothing so far, so its result may be the
    answer.
    """
    outcome = data.get("outcome")
    if not isinstance(outcome, dict):
        outcome = {}
    kind = text_of(outcome, "type")
    if kind == "cancelled":
        return [RunFailed("The run was cancelled.", aborted=True)]
    usage = usage_of(data)
    asked = read_outcome(outcome, calls.open) or read_customs(customs, calls.open)
    if asked is not None:
        return [RunResult("", "", usage), asked]
    pending = outcome.get("pendingToolCallIds")
    if isinstance(pending, list):  # the agent says which calls are the client's to run
        settled, waits_for = calls.settle_all_but(list(map(str, pending))), None
    else:
        settled, waits_for = [], read_open_calls(calls.open, text_of(data, "runId"))
    text = text_of(data, "result") if silent else ""
    return [*settled, RunResult(text, "", usage), RunEnded(waits_for)]


def read_snapshot(data: Data) -> list[Event]:
    """The last message of the conversation, if it is the agent's: what it said, and what it calls."""
    spoken = [message for message in objects_of(data, "messages") if message.get("role") not in SILENT_ROLES]
    if not spoken or spoken[-1].get("role") != "assistant":
        return []
    calls = [_snapshot_call(call) for call in objects_of(spoken[-1], "toolCalls")]
    return [MessageCompleted(text_of(spoken[-1], "content"), "", "", None), *calls]


def _snapshot_call(call: Data) -> ToolCalled:
    function = call.get("function")
    if not isinstance(function, dict):
        function = {}
    return ToolCalled(text_of(call, "id"), text_of(function, "name"), text_of(function, "arguments"))
