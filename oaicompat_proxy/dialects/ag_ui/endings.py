"""Reads the end of a run: success, failure, or an interrupt.

Source: AG-UI 1.0, `RUN_FINISHED` with its outcomes, and `RUN_ERROR`.
"""

from __future__ import annotations

from ...core.errors import UpstreamError
from ...core.events import Event, RunEnded, RunFailed, RunResult
from .fields import Data, text_of, usage_of
from .interrupts import read_confirmation_calls, read_interrupt_events, read_open_calls, read_outcome
from .tool_calls import ToolCalls

_STOP_REASONS = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens"), "max_tokens"),
    **dict.fromkeys(("content_filter", "content_filtered", "guardrail_intervened", "safety"), "content_filter"),
}
"""The stop reasons that clients distinguish, by the names that producers use, with `_` for `-`."""


def read_error(data: Data) -> RunFailed:
    """The failure; its text has the message and the code, because many messages say little without it."""
    message, code = text_of(data, "message"), data.get("code")
    code = str(code) if type(code) is int else text_of(data, "code")
    return RunFailed(f"{message} ({code})" if code and code not in message else message)


def stop_reason_of(data: Data) -> str:
    """The stop reason from `metadata.finishReason` of an event, since the protocol has no field for it."""
    metadata = data.get("metadata")
    reason = text_of(metadata, "finishReason").lower().replace("-", "_") if isinstance(metadata, dict) else ""
    return _STOP_REASONS.get(reason, reason)


def read_end(
    data: Data, calls: ToolCalls, interrupt_events: list[Data], *, silent: bool, stop_reason: str = ""
) -> list[Event]:
    """The neutral events of `RUN_FINISHED`.

    `interrupt_events`: the run's `on_interrupt` events. `silent`: the run has streamed no answer, so its result may be
    the answer. `stop_reason`: of the model, if it is known.
    """
    outcome = _outcome_of(data)
    kind = text_of(outcome, "type")
    if kind == "cancelled":
        return [RunFailed("The run was cancelled.", aborted=True)]
    usage = usage_of(data)
    asked = read_outcome(outcome, calls.open) or read_interrupt_events(interrupt_events, calls.open)
    asked = asked or read_confirmation_calls(calls.open)
    if asked is not None:
        return [RunResult("", stop_reason, usage), asked]
    if kind == "interrupt":
        raise UpstreamError("The agent waits for an answer, and does not say to what.")
    pending = pending_of(data)
    handled, waits_for = list[Event](), None
    if pending:  # the calls that the client has to run; an empty list means nothing
        handled = calls.mark_others_as_handled(pending)
    else:
        waits_for = read_open_calls(calls.open, text_of(data, "runId"))
    text = text_of(data, "result") if silent else ""
    return [*handled, RunResult(text, stop_reason, usage), RunEnded(waits_for)]


def pending_of(data: Data) -> list[str]:
    """Ids of the calls that the agent leaves to the client; empty if it lists none."""
    return _outcome_of(data).get("pendingToolCallIds") or []


def _outcome_of(data: Data) -> Data:
    """The outcome as an object, as in 1.0. In versions 0.x it is a string, and the interrupts are another field."""
    outcome = data.get("outcome")
    if isinstance(outcome, dict):
        return outcome
    interrupts = data.get("interrupts") or [data.get("interrupt")]
    return {"type": outcome, "interrupts": interrupts}
