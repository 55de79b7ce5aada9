"""The answer to what a run waits for, as the next run carries it.

Source: AG-UI 1.0, `ResumeEntry`; ag-ui-langgraph 0.0.47 for `forwardedProps.command.resume`; Agno 3.1 for tool
messages. A payload is made to the interrupt's response schema. A human's words never become a tool's arguments:
agent-framework-ag-ui 1.7 takes every key beyond the yes or no as one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...core.errors import AgentError, InvalidRequest
from ...core.message import ToolCall
from ...core.turn import ConfirmationReply
from .interrupts import COMMAND, RESUME, TOOL_MESSAGE, PendingInterrupt, decode, fingerprint
from .response_schema import YES_WORDS, allows, decide, decision_key, is_object, properties_of

EDITED_ARGUMENTS = "editedArgs"
"""AG-UI's own key for a full replacement of a tool's arguments."""


MAX_LEVELS = 100
"""Levels of JSON in an answer."""


class Resumption(NamedTuple):
    """What the next run carries: `resume` and `props` (for `forwardedProps`), and results of calls by their ids."""

    resume: list[dict[str, Any]]
    props: dict[str, Any]
    results: dict[str, str]


NOTHING_WAITED = Resumption([], {}, {})


def answer_all(answer: ConfirmationReply) -> Resumption:
    """What was said to each that waits: the same to all, or of a JSON list of so many to each its own.

    A no is an answer too, so that the agent can go on with it.
    Raises InvalidRequest for an answer that a response schema does not allow, and AgentError where a yes was not
    the client's.
    """
    interrupts = decode(answer.question)
    answers = _spread(answer, len(interrupts))
    payloads = [(each, _make_payload(each, its_own)) for each, its_own in zip(interrupts, answers, strict=True)]
    resume = [_entry(each, payload) for each, payload in payloads if each.channel == RESUME]
    commands = [(each.interrupt_id, payload) for each, payload in payloads if each.channel == COMMAND]
    waiting = [(each, payload) for each, payload in payloads if each.channel == TOOL_MESSAGE]
    props = {"command": {"resume": _command(commands)}} if commands else {}
    if waiting:
        props = {"command": _mastra_command(*waiting[0])}
    return Resumption(resume, props, {each.call_id: _result(payload) for each, payload in waiting})


def _spread(answer: ConfirmationReply, count: int) -> list[ConfirmationReply]:
    said = _parse(answer.text)
    if count == 1 or not isinstance(said, list) or len(said) != count:
        return [answer] * count
    return [_read_one(each, answer.question) for each in said]


def _read_one(said: Any, question: str) -> ConfirmationReply:
    """One of several answers, with the same words for a yes as a single one has."""
    if isinstance(said, dict):
        reason = said.get("reason")
        confirmed, reason = said.get("confirmed") is True, reason if isinstance(reason, str) else ""
        return ConfirmationReply(question, confirmed, reason, json.dumps(said))
    if isinstance(said, str):
        return ConfirmationReply(question, said.strip().rstrip(".!").lower() in YES_WORDS, said, said)
    return ConfirmationReply(question, said is True, "", json.dumps(said))


def _mastra_command(interrupt: PendingInterrupt, payload: Any) -> dict[str, Any]:
    """@ag-ui/mastra resumes one call at a time."""
    run_id, _, call_id = interrupt.interrupt_id.partition("::")
    return {"resume": payload, "interruptEvent": {"toolCallId": call_id, "runId": run_id}}


def _entry(interrupt: PendingInterrupt, payload: Any) -> dict[str, Any]:
    return {"interruptId": interrupt.interrupt_id, "status": "resolved", "payload": payload}


def _command(answers: list[tuple[str, Any]]) -> Any:
    """LangGraph takes the answer to a single interrupt as it is, and those to several by their ids."""
    if len(answers) == 1 or not all(interrupt_id for interrupt_id, _ in answers):
        return answers[0][1]
    return dict(answers)


def _result(payload: Any) -> str:
    """Agno reads `accepted`, and `note` with a no."""
    if not isinstance(payload, dict):
        return json.dumps(payload)
    note = {"note": payload["reason"]} if "reason" in payload else {}
    return json.dumps({**payload, "accepted": payload.get("approved") is True, **note})


def _make_payload(interrupt: PendingInterrupt, answer: ConfirmationReply) -> Any:
    said = _parse(answer.text)
    if interrupt.decisions:
        return {"decisions": [_decision(answer)] * interrupt.decisions}
    if interrupt.schema is None:
        is_tools = bool(interrupt.name or interrupt.call_id)
        return _approval("approved", answer.confirmed, interrupt, answer) if is_tools or not answer.text else said
    payload = _fit(interrupt, answer, said)
    known = properties_of(interrupt.schema)
    edits = isinstance(payload, dict) and EDITED_ARGUMENTS in payload
    if not allows(interrupt.schema, payload) or (edits and EDITED_ARGUMENTS not in known):
        _refuse(interrupt.schema, answer)
    return payload


def _parse(text: str) -> Any:
    """What was said as JSON, if it is any that can be passed on, else as it was said."""
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
    """LangChain's form."""
    if answer.confirmed:
        return {"type": "approve"}
    return {"type": "reject", **({"message": answer.reason} if answer.reason else {})}


def _approval(key: str, decision: Any, interrupt: PendingInterrupt, answer: ConfirmationReply) -> dict[str, Any]:
    reason = {interrupt.reason_key: answer.reason} if answer.reason and interrupt.reason_key else {}
    return {key: decision, **reason}


def _fit(interrupt: PendingInterrupt, answer: ConfirmationReply, said: Any) -> Any:
    """What comes nearest to the schema of what was said."""
    schema = interrupt.schema
    if is_object(schema):
        return _fit_object(interrupt, answer, said)
    if answer.text and allows(schema, said):
        return said
    if answer.text and allows(schema, answer.text):
        return answer.text
    chosen = _choose(schema, answer.text)
    return decide(schema, confirmed=answer.confirmed) if chosen is None else chosen


def _choose(schema: Any, text: str) -> Any:
    """The word of an enumeration that was said in other letters."""
    words = schema.get("enum") if isinstance(schema, Mapping) else None
    wanted = text.strip().rstrip(".!").lower()
    return next((each for each in words or () if isinstance(each, str) and each.lower() == wanted), None)


def _fit_object(interrupt: PendingInterrupt, answer: ConfirmationReply, said: Any) -> Any:
    known, key = properties_of(interrupt.schema), decision_key(interrupt.schema)
    is_tools = bool(interrupt.name or interrupt.call_id)
    if key is not None or (is_tools and not known):
        return _decide_object(key or "approved", interrupt, answer, said)
    if isinstance(said, dict):
        return {name: each for name, each in said.items() if name in known or not known}
    texts = [name for name in known if allows(known[name], answer.text)]
    return {texts[0]: answer.text} if len(texts) == 1 and answer.text and not is_tools else said


def _decide_object(key: str, interrupt: PendingInterrupt, answer: ConfirmationReply, said: Any) -> dict[str, Any]:
    known = properties_of(interrupt.schema)
    payload = _approval(key, decide(known.get(key, True), confirmed=_is_yes(key, answer, said)), interrupt, answer)
    if not isinstance(said, dict):
        return payload
    if EDITED_ARGUMENTS in said and answer.confirmed:  # to run the tool without the edit would be a lie
        payload[EDITED_ARGUMENTS] = said[EDITED_ARGUMENTS]
    if not (interrupt.name or interrupt.call_id):
        payload |= {name: each for name, each in said.items() if name in known and name not in payload}
    return payload


def _is_yes(key: str, answer: ConfirmationReply, said: Any) -> bool:
    """The schema's own key says it as well as `confirmed` does."""
    if isinstance(said, dict) and "confirmed" not in said and isinstance(said.get(key), bool):
        return bool(said[key])
    return answer.confirmed


def _refuse(schema: Any, answer: ConfirmationReply) -> None:
    if not answer.text:
        raise AgentError("The agent waits for more than a yes, and there is nobody to give it.")
    wanted = json.dumps(schema, ensure_ascii=False)
    raise InvalidRequest(f"The agent waits for an answer of this JSON schema: {wanted}", param="messages")


def original_calls(call: ToolCall) -> list[ToolCall]:
    """The agent's own calls behind the one that stands for all that waits.

    Raises InvalidRequest if the client has changed their arguments: the agent would run its tool with them.
    """
    interrupts = decode(call.id)
    arguments = [call.arguments] if len(interrupts) == 1 else _split(call.arguments, len(interrupts))
    pairs = [(each, its_own) for each, its_own in zip(interrupts, arguments, strict=True) if each.call_id]
    if any(fingerprint(its_own) != each.fingerprint for each, its_own in pairs):
        raise InvalidRequest(
            "The arguments of the agent's call were changed; send the question back as it was.", param="messages"
        )
    return [ToolCall(each.call_id, each.name, its_own) for each, its_own in pairs]


def _split(arguments: str, count: int) -> list[str]:
    """The texts in a JSON array of so many."""
    each = _parse(arguments)
    if not isinstance(each, list) or len(each) != count:
        return [""] * count
    return [json.dumps(its_own, ensure_ascii=False) for its_own in each]
