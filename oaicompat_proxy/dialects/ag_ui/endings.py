"""How a run ends: well, with a failure, or with a question to a human.

Source: AG-UI 1.0, `RUN_FINISHED` with its outcomes, `RUN_ERROR`, and `MESSAGES_SNAPSHOT` as the last resort for the
text of an agent that does not stream.
"""

from __future__ import annotations

from ...events import ConfirmationRequired, Event, MessageCompleted, RunEnded, RunFailed, RunResult, ToolCalled
from .fields import Data, objects_of, text_of, usage_of
from .interrupts import Waiting, write_waiting
from .tool_calls import ToolCalls

SILENT_ROLES = {"activity", "reasoning"}
"""Messages of a snapshot that are no part of the conversation."""


def read_error(data: Data) -> RunFailed:
    """The code is told with the message: the two together say what the failure means."""
    message, code = text_of(data, "message"), text_of(data, "code")
    return RunFailed(f"{message} ({code})" if code and code not in message else message)


def read_end(data: Data, calls: ToolCalls, *, silent: bool) -> list[Event]:
    """What `RUN_FINISHED` says. `silent`: the run has said nothing so far, so its result may be the answer."""
    outcome = data.get("outcome")
    if not isinstance(outcome, dict):
        outcome = {}
    kind = text_of(outcome, "type")
    if kind == "cancelled":
        return [RunFailed("The run was cancelled.", aborted=True)]
    usage = usage_of(data)
    interrupts = objects_of(outcome, "interrupts")
    if kind == "interrupt" and interrupts:
        return [RunResult("", "", usage), _ask(interrupts, calls)]
    pending = outcome.get("pendingToolCallIds")
    settled = calls.settle_all_but(list(map(str, pending))) if isinstance(pending, list) else []
    text = text_of(data, "result") if silent else ""
    return [*settled, RunResult(text, "", usage), RunEnded()]


def _ask(interrupts: list[Data], calls: ToolCalls) -> ConfirmationRequired:
    """One question for all that the run waits for: a run can only be resumed with an answer to each."""
    waiting = [_waiting(interrupt, calls) for interrupt in interrupts]
    told = [calls.open[each.call_id].arguments if each.call_id else "{}" for each in waiting]
    messages = [text_of(interrupt, "message") for interrupt in interrupts]
    return ConfirmationRequired(
        write_waiting(waiting),
        ", ".join(each.name for each in waiting if each.name),
        told[0] if len(told) == 1 else f"[{','.join(told)}]",
        "\n".join(message for message in messages if message),
    )


def _waiting(interrupt: Data, calls: ToolCalls) -> Waiting:
    call_id = text_of(interrupt, "toolCallId")
    call = calls.open.get(call_id)
    return Waiting(text_of(interrupt, "id"), call_id, call.name) if call else Waiting(text_of(interrupt, "id"))


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
