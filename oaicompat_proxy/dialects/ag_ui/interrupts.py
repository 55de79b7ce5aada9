"""Reads the interrupts of a run from its events. A run waits in one of three forms:

- `RUN_FINISHED` with the outcome `interrupt` (AG-UI 1.0), answered by `resume[]` of the next run;
- `CUSTOM` named `on_interrupt` and then a plain `RUN_FINISHED`, the default of ag-ui-langgraph 0.0.47 (answered by
  `forwardedProps.command.resume`) and of ag-ui-crewai 1.0 and @ag-ui/mastra (answered by `resume[]`);
- a tool call without a result, and then a plain `RUN_FINISHED`: Agno's tools with `requires_confirmation` (answered
  by a tool message) and Mastra's with `requireApproval` (answered by `forwardedProps.command`). It looks like a call
  for the client; only ag-ui-adk 0.11 gives it a name of its own, `adk_request_confirmation` (answered by `resume[]`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from ...core.errors import UpstreamError
from ...core.events import ConfirmationRequired
from . import response_schema
from .fields import Data, objects_of, text_of, value_of_json
from .pending_interrupts import COMMAND, RESUME, TOOL_MESSAGE, PendingInterrupt, encode_interrupts, fingerprint
from .questions import Question, read_question

MAX_INTERRUPTS = 64
"""Open interrupts of one run, at most."""
MAX_ENCODED = 32 * 1024
"""Characters of all interrupts of one run, encoded, at most."""
MAX_SCHEMA = 4096
"""Characters of an encoded response schema, at most. A longer one is reduced to its properties and their types."""

ADK_CONFIRMATION = "adk_request_confirmation"
"""A tool call that only asks for confirmation. Its arguments contain the call that waits."""

REASON_KEYS = ("reason", "message", "feedback", "comment", "note")
NO_QUESTION = "The agent waits for an answer."


class OpenCall(Protocol):
    """A tool call without a result."""

    name: str
    is_handled: bool
    """Whether the agent handles the call itself."""

    @property
    def arguments(self) -> str:
        """JSON text."""
        ...


class _AskedInterrupt(NamedTuple):
    interrupt: PendingInterrupt
    question: Question


def read_outcome(outcome: Data, calls: Mapping[str, OpenCall]) -> ConfirmationRequired | None:
    """The interrupts of a `RUN_FINISHED`; None if it has another outcome. `calls`: the calls without a result."""
    interrupts = objects_of(outcome, "interrupts") if text_of(outcome, "type") == "interrupt" else []
    channel = COMMAND if len(interrupts) > 1 and all(map(_langgraph_metadata, interrupts)) else RESUME
    return _combine([_read_interrupt(each, calls, channel) for each in interrupts[: MAX_INTERRUPTS + 1]])


def read_interrupt_events(customs: list[Data], calls: Mapping[str, OpenCall]) -> ConfirmationRequired | None:
    """The interrupts of a run's `on_interrupt` events; None if it had none."""
    return _combine([_read_interrupt_event(each, calls) for each in customs[: MAX_INTERRUPTS + 1]])


def read_confirmation_calls(calls: Mapping[str, OpenCall]) -> ConfirmationRequired | None:
    """The open calls of `adk_request_confirmation`, as interrupts; None if there are none."""
    asked = [_read_confirmation(call_id, call) for call_id, call in calls.items() if call.name == ADK_CONFIRMATION]
    return _combine(asked)


def _read_confirmation(call_id: str, call: OpenCall) -> _AskedInterrupt:
    asked = read_question(_as_object(call.arguments))
    key = _reason_key(None, asked.arguments)
    return _AskedInterrupt(PendingInterrupt(call_id, name=asked.name, reason_key=key), asked)


def read_open_calls(calls: Mapping[str, OpenCall], run_id: str) -> ConfirmationRequired | None:
    """The calls without a result, which may wait for a confirmation, as interrupts.

    None if there are none, or more than one question can pass on: a model that calls so many tools at once calls the
    client's.
    """
    waiting = {call_id: call for call_id, call in calls.items() if call.name and not call.is_handled}
    if len(waiting) > MAX_INTERRUPTS:
        return None
    try:
        return _combine([_read_call(call_id, call, run_id) for call_id, call in waiting.items()])
    except UpstreamError:
        return None


def _langgraph_metadata(interrupt: Data) -> Data:
    """LangGraph's part of the metadata. Its adapter cannot forward several answers of `resume[]` to a plain graph."""
    return _as_object(_as_object(interrupt.get("metadata")).get("langgraph"))


def _read_interrupt(interrupt: Data, calls: Mapping[str, OpenCall], channel: str) -> _AskedInterrupt:
    metadata = interrupt.get("metadata")
    asked = read_question(text_of(interrupt, "message"), metadata)
    call_id, schema = text_of(interrupt, "toolCallId"), interrupt.get("responseSchema")
    if not asked.text:
        call = calls.get(call_id)
        asked = asked._replace(text=f"Allow {call.name}?" if call is not None else text_of(interrupt, "reason"))
    if schema is None and not call_id and text_of(interrupt, "reason") == "confirmation":
        schema = {"type": "boolean"}  # AG-UI's default for a confirmation without a tool call
    decisions = _count_decisions(_langgraph_metadata(interrupt).get("raw"))
    return _question(text_of(interrupt, "id"), call_id, calls, asked, schema, channel, decisions)


def _read_interrupt_event(custom: Data, calls: Mapping[str, OpenCall]) -> _AskedInterrupt:
    value, raw = _as_object(custom.get("value")), custom.get("rawEvent")
    asked = read_question(*((value,) if value else (custom.get("value"),)))
    schema = next((value[key] for key in ("responseSchema", "response_schema", "resumeSchema") if value.get(key)), None)
    call_id = text_of(value, "toolCallId") or text_of(value, "tool_call_id")
    if isinstance(raw, dict) and "value" in raw:  # LangGraph's own interrupt, which has the id
        return _question(text_of(raw, "id"), call_id, calls, asked, schema, COMMAND, _count_decisions(value))
    if call_id and text_of(value, "type") == "mastra_suspend":
        return _question(_mastra_id(text_of(value, "runId"), call_id), call_id, calls, asked, schema, RESUME)
    channel = RESUME if text_of(value, "id") and "reason" in value else COMMAND
    return _question(text_of(value, "id"), call_id, calls, asked, schema, channel)


def _read_call(call_id: str, call: OpenCall, run_id: str) -> _AskedInterrupt:
    asked = Question(f"Allow {call.name}?", call.name)
    return _question(_mastra_id(run_id, call_id), call_id, {call_id: call}, asked, None, TOOL_MESSAGE)


def _mastra_id(run_id: str, call_id: str) -> str:
    """The id that @ag-ui/mastra gives to a call of a run."""
    return f"{run_id}::{call_id}"


def _as_object(value: Any) -> Data:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _question(
    interrupt_id: str,
    call_id: str,
    calls: Mapping[str, OpenCall],
    asked: Question,
    schema: Any,
    channel: str,
    decisions: int = 0,
) -> _AskedInterrupt:
    call = calls.get(call_id)
    if call is not None:
        asked = asked._replace(name=call.name, arguments=value_of_json(call.arguments))
    schema = _reduce(_as_object(schema)) or None
    interrupt = PendingInterrupt(
        interrupt_id,
        call_id if call is not None else "",
        asked.name,
        channel,
        schema,
        _reason_key(schema, asked.arguments),
        decisions,
        fingerprint(call.arguments) if call is not None else "",
    )
    return _AskedInterrupt(interrupt, asked)


def _reduce(schema: Data) -> Any:
    reduced = response_schema.reduce(schema)
    if len(json.dumps(reduced)) <= MAX_SCHEMA:
        return reduced
    types = {
        key: {"type": each.get("type")}
        for key, each in response_schema.properties_of(reduced).items()
        if isinstance(each, Mapping)
    }
    return {"type": reduced.get("type"), "properties": types}


def _reason_key(schema: Any, arguments: Any) -> str:
    """The key for the person's reason: none that is an argument of the tool."""
    taken = {*_keys(arguments), *response_schema.properties_of(response_schema.properties_of(schema).get("editedArgs"))}
    known = response_schema.properties_of(schema)
    if not known:
        return "reason" if "reason" not in taken else ""
    fitting = (
        key for key in REASON_KEYS if key in known and key not in taken and response_schema.allows(known[key], "")
    )
    return next(fitting, "")


def _keys(arguments: Any) -> list[str]:
    """The argument names of one tool, or of several tools."""
    listed = arguments if isinstance(arguments, list) else [arguments]
    return [key for each in listed if isinstance(each, dict) for key in each]


def _count_decisions(value: Any) -> int:
    """The number of actions of LangChain's middleware, which expects as many decisions."""
    requests = _as_object(value).get("action_requests")
    return len(requests) if isinstance(requests, list) else 0


def _combine(questions: list[_AskedInterrupt]) -> ConfirmationRequired | None:
    """One question for all interrupts of the run, by their ids, because a run is only resumed with an answer to each.

    Raises UpstreamError if they are too many or too long for a round trip to the client.
    """
    if not questions:
        return None
    questions = list({each.interrupt.interrupt_id or number: each for number, each in enumerate(questions)}.values())
    encoded = encode_interrupts([each.interrupt for each in questions])
    if len(questions) > MAX_INTERRUPTS or len(encoded) > MAX_ENCODED:
        raise UpstreamError("The agent asks more at once than can be passed on.")
    asked = [each.question for each in questions]
    arguments = [{} if each.arguments is None else each.arguments for each in asked]
    texts = list(dict.fromkeys(map(_write_question, questions)))
    return ConfirmationRequired(
        encoded,
        ", ".join(each.name for each in asked if each.name),
        json.dumps(arguments[0] if len(arguments) == 1 else arguments, ensure_ascii=False, separators=(",", ":")),
        "\n".join(texts),
        not all(each.question.name and response_schema.takes_decision(each.interrupt.schema) for each in questions),
    )


def _write_question(question: _AskedInterrupt) -> str:
    """The question's text; unless a yes or no is enough, with the response schema, which no client knows."""
    text, schema = question.question.text or NO_QUESTION, question.interrupt.schema
    if response_schema.takes_decision(schema):
        return text
    return f"{text}\nJSON schema of the answer: {json.dumps(schema, ensure_ascii=False)}"
