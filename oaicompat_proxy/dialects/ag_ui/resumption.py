"""Builds the answer to a run's interrupts: the fields of the next run's request.

Source: AG-UI 1.0, `ResumeEntry`; ag-ui-langgraph 0.0.47 for `forwardedProps.command.resume`; Agno 3.1 for tool
messages. A payload is fitted to the interrupt's response schema. The person's text never becomes an argument of
the tool: agent-framework-ag-ui 1.7 treats every key besides the decision as one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...core.errors import CONVERSATION, AgentError, InvalidRequest
from ...core.message import ToolCall
from ...core.turn import ConfirmationReply
from .pending_interrupts import COMMAND, RESUME, TOOL_MESSAGE, PendingInterrupt, decode_interrupts, fingerprint
from .response_schema import YES_WORDS, allows, decide, decision_key, is_object, properties_of

EDITED_ARGUMENTS = "editedArgs"
"""AG-UI's key for a complete replacement of a tool's arguments."""
MAX_LEVELS = 100
"""Levels of nested JSON in an answer, at most."""


class Resumption(NamedTuple):
    """The next run's `resume`, its `forwardedProps`, and tool results by their call ids."""

    resume: list[dict[str, Any]]
    props: dict[str, Any]
    results: dict[str, str]


NO_RESUMPTION = Resumption([], {}, {})


def build_resumption(answer: ConfirmationReply) -> Resumption:
    """Answers all interrupts: with the same reply, or with one item each of a JSON list of the same length.

    A denial is also an answer: the agent continues with it. If the response schema does not allow the answer, raises
    InvalidRequest, or for an automatic approval AgentError.
    """
    interrupts = decode_interrupts(answer.question)
    answers = _split_answer(answer, len(interrupts))
    payloads = [(each, _make_payload(each, its_own)) for each, its_own in zip(interrupts, answers, strict=True)]
    resume = [_entry(each, payload) for each, payload in payloads if each.channel == RESUME]
    commands = [(each.interrupt_id, payload) for each, payload in payloads if each.channel == COMMAND]
    waiting = [(each, payload) for each, payload in payloads if each.channel == TOOL_MESSAGE]
    props = {"command": {"resume": _command(commands)}} if commands else {}
    if waiting:
        props = {"command": _mastra_command(*waiting[0])}
    return Resumption(resume, props, {each.call_id: _result(payload) for each, payload in waiting})


def _split_answer(answer: ConfirmationReply, count: int) -> list[ConfirmationReply]:
    value = _parse(answer.text)
    if count == 1 or not isinstance(value, list) or len(value) != count:
        return [answer] * count
    return [_read_one(each, answer.question) for each in value]


def _read_one(value: Any, question: str) -> ConfirmationReply:
    """Reads one of several answers. The words for yes are those of a single answer."""
    if isinstance(value, dict):
        reason = value.get("reason")
        confirmed, reason = value.get("confirmed") is True, reason if isinstance(reason, str) else ""
        return ConfirmationReply(question, confirmed, reason, json.dumps(value))
    if isinstance(value, str):
        return ConfirmationReply(question, value.strip().rstrip(".!").lower() in YES_WORDS, value, value)
    return ConfirmationReply(question, value is True, "", json.dumps(value))


def _mastra_command(interrupt: PendingInterrupt, payload: Any) -> dict[str, Any]:
    """@ag-ui/mastra resumes one call at a time."""
    run_id, _, call_id = interrupt.interrupt_id.partition("::")
    return {"resume": payload, "interruptEvent": {"toolCallId": call_id, "runId": run_id}}


def _entry(interrupt: PendingInterrupt, payload: Any) -> dict[str, Any]:
    return {"interruptId": interrupt.interrupt_id, "status": "resolved", "payload": payload}


def _command(answers: list[tuple[str, Any]]) -> Any:
    """LangGraph's format: one answer alone, or several by their interrupt ids."""
    if len(answers) == 1 or not all(interrupt_id for interrupt_id, _ in answers):
        return answers[0][1]
    return dict(answers)


def _result(payload: Any) -> str:
    """The content of a tool message. Agno reads `accepted`, and `note` with a denial."""
    if not isinstance(payload, dict):
        return json.dumps(payload)
    note = {"note": payload["reason"]} if "reason" in payload else {}
    return json.dumps({**payload, "accepted": payload.get("approved") is True, **note})


def _make_payload(interrupt: PendingInterrupt, answer: ConfirmationReply) -> Any:
    value = _parse(answer.text)
    if interrupt.decisions:
        return {"decisions": [_decision(answer)] * interrupt.decisions}
    if interrupt.schema is None:
        is_tools = bool(interrupt.name or interrupt.call_id)
        return _approval("approved", answer.confirmed, interrupt, answer) if is_tools or not answer.text else value
    payload = _fit(interrupt, answer, value)
    known = properties_of(interrupt.schema)
    edits = isinstance(payload, dict) and EDITED_ARGUMENTS in payload
    if not allows(interrupt.schema, payload) or (edits and EDITED_ARGUMENTS not in known):
        _reject(interrupt.schema, answer)
    return payload


def _parse(text: str) -> Any:
    """The text as JSON, if it is valid and not nested too deeply; else the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if _is_shallow(value) else text


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_LEVELS):
        inside = [each for each in level if isinstance(each, dict | list)]
        level = [part for each in inside for part in (each.values() if isinstance(each, dict) else each)]
    return not level


def _decision(answer: ConfirmationReply) -> dict[str, Any]:
    """A decision in LangChain's format."""
    if answer.confirmed:
        return {"type": "approve"}
    return {"type": "reject", **({"message": answer.reason} if answer.reason else {})}


def _approval(key: str, decision: Any, interrupt: PendingInterrupt, answer: ConfirmationReply) -> dict[str, Any]:
    reason = {interrupt.reason_key: answer.reason} if answer.reason and interrupt.reason_key else {}
    return {key: decision, **reason}


def _fit(interrupt: PendingInterrupt, answer: ConfirmationReply, value: Any) -> Any:
    """The payload that fits the schema best."""
    schema = interrupt.schema
    if is_object(schema):
        return _fit_object(interrupt, answer, value)
    if answer.text and allows(schema, value):
        return value
    if answer.text and allows(schema, answer.text):
        return answer.text
    chosen = _choose(schema, answer.text)
    return decide(schema, confirmed=answer.confirmed) if chosen is None else chosen


def _choose(schema: Any, text: str) -> Any:
    """The word of an enumeration that equals the text, ignoring case."""
    words = schema.get("enum") if isinstance(schema, Mapping) else None
    wanted = text.strip().rstrip(".!").lower()
    return next((each for each in words or () if isinstance(each, str) and each.lower() == wanted), None)


def _fit_object(interrupt: PendingInterrupt, answer: ConfirmationReply, value: Any) -> Any:
    known, key = properties_of(interrupt.schema), decision_key(interrupt.schema)
    is_tools = bool(interrupt.name or interrupt.call_id)
    if key is not None or (is_tools and not known):
        return _decide_object(key or "approved", interrupt, answer, value)
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if name in known or not known}
    texts = [name for name in known if allows(known[name], answer.text)]
    return {texts[0]: answer.text} if len(texts) == 1 and answer.text and not is_tools else value


def _decide_object(key: str, interrupt: PendingInterrupt, answer: ConfirmationReply, value: Any) -> dict[str, Any]:
    known = properties_of(interrupt.schema)
    payload = _approval(key, decide(known.get(key, True), confirmed=_is_yes(key, answer, value)), interrupt, answer)
    if not isinstance(value, dict):
        return payload
    if EDITED_ARGUMENTS in value and answer.confirmed:  # else the agent would run the call without the edit
        payload[EDITED_ARGUMENTS] = value[EDITED_ARGUMENTS]
    if not (interrupt.name or interrupt.call_id):
        payload |= {name: each for name, each in value.items() if name in known and name not in payload}
    return payload


def _is_yes(key: str, answer: ConfirmationReply, value: Any) -> bool:
    """Whether the answer confirms: by `confirmed`, or by the schema's own key."""
    if isinstance(value, dict) and "confirmed" not in value and isinstance(value.get(key), bool):
        return bool(value[key])
    return answer.confirmed


def _reject(schema: Any, answer: ConfirmationReply) -> None:
    if not answer.text:
        raise AgentError("The agent waits for more than a yes, which only --confirmations ask can get from a client.")
    wanted = json.dumps(schema, ensure_ascii=False)
    raise InvalidRequest(f"The agent waits for an answer of this JSON schema: {wanted}", param=CONVERSATION)


def with_original_calls(call: ToolCall) -> list[ToolCall]:
    """The agent's own calls that the client's confirmation call replaced.

    Raises InvalidRequest if the client has changed the arguments: the agent would run its tools with them.
    """
    interrupts = decode_interrupts(call.id)
    arguments = [call.arguments] if len(interrupts) == 1 else _split(call.arguments, len(interrupts))
    pairs = [(each, its_own) for each, its_own in zip(interrupts, arguments, strict=True) if each.call_id]
    if any(fingerprint(its_own) != each.fingerprint for each, its_own in pairs):
        raise InvalidRequest(
            "The arguments of the agent's call were changed; send the question back as it was.", param=CONVERSATION
        )
    return [ToolCall(each.call_id, each.name, its_own) for each, its_own in pairs]


def _split(arguments: str, count: int) -> list[str]:
    """The items of a JSON array of this length, each as JSON text."""
    each = _parse(arguments)
    if not isinstance(each, list) or len(each) != count:
        return [""] * count
    return [json.dumps(its_own, ensure_ascii=False) for its_own in each]
