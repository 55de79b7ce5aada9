"""What a run waits for, as one word that can be carried to the client and back.

Source: AG-UI 1.0, `Interrupt` and `ResumeEntry`. A tool call is approved with the payload that the protocol's guide
recommends; another question is answered with what was said, as JSON if it is any.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ...turn import Answer, Call


class Waiting(NamedTuple):
    """An open interrupt. `call_id` and `name`: the agent's tool call that waits, empty if it is none."""

    interrupt_id: str
    call_id: str = ""
    name: str = ""


def write_waiting(waiting: list[Waiting]) -> str:
    return json.dumps(waiting, separators=(",", ":"))


def resume(answer: Answer) -> list[dict[str, Any]]:
    """The same answer to each that waits: a no is an answer too, so that the agent can go on with it."""
    return [
        {"interruptId": waiting.interrupt_id, "status": "resolved", "payload": _payload(waiting, answer)}
        for waiting in _read_waiting(answer.question)
    ]


def waiting_calls(call: Call) -> list[Call]:
    """The agent's own calls behind the one that stands for all that waits."""
    waiting = _read_waiting(call.id)
    arguments = [call.arguments] if len(waiting) == 1 else _split(call.arguments, len(waiting))
    return [
        Call(each.call_id, each.name, its_own) for each, its_own in zip(waiting, arguments, strict=True) if each.call_id
    ]


def _read_waiting(word: str) -> list[Waiting]:
    """What `write_waiting` has written."""
    return [Waiting(*map(str, each)) for each in json.loads(word)]


def _split(arguments: str, count: int) -> list[str]:
    """The texts in a JSON array of so many; the client has had it in its hands."""
    try:
        each = json.loads(arguments)
    except (ValueError, RecursionError):
        each = None
    if not isinstance(each, list) or len(each) != count:
        return ["{}"] * count
    return [json.dumps(its_own, ensure_ascii=False) for its_own in each]


def _payload(waiting: Waiting, answer: Answer) -> Any:
    if waiting.call_id or not answer.text:
        return {"approved": answer.confirmed, **({"reason": answer.reason} if answer.reason else {})}
    try:
        return json.loads(answer.text)
    except (ValueError, RecursionError):
        return answer.text
