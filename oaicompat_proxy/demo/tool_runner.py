"""The engine's side of tool calls: it runs every call of a message, one after the other. Pure.

It knows no difference between its own tools and a client's: for those it invents a result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from .frames import Stage
from .message_stream import Item
from .script import Call, Spawn, parsed

REFUSED = "The user refused the call"


@dataclass(frozen=True, slots=True)
class Ask:
    """The run goes on when somebody has confirmed or refused this call."""

    call_id: str


Play = Generator[Item | Ask, bool | None, None]
Block = dict[str, Any]
SpawnPlay = Callable[[int, Call, Spawn], Play]


def run_tools(
    stage: Stage, tick: int, calls: list[Call], spawn: SpawnPlay
) -> Generator[Item | Ask, bool | None, list[Block]]:
    """Returns the blocks of the tool message that follows."""
    results = []
    for call in calls:
        since = stage.stamps.time()
        yield stage.engine("tool_result_start", tick, callId=call.id, name=call.name)
        allowed = (yield from _confirm(stage, tick, call)) if call.confirm else True
        if call.spawn:
            yield from spawn(tick, call, call.spawn)
        text, failed = outcome(call) if allowed else (REFUSED, True)
        content = [{"type": "text", "text": text}]
        yield _result(stage, tick, call, content, failed, since)
        named = {"type": "tool_result", "toolUseId": call.id, "name": call.name}
        results.append({**named, "content": content, "isError": failed})
    return results


def outcome(call: Call) -> tuple[str, bool]:
    if call.by == "client":
        return f"[{call.name} rendered on client]", False
    return call.result, call.is_error


def _confirm(stage: Stage, tick: int, call: Call) -> Generator[Item | Ask, bool | None, bool]:
    known = {"callId": call.id, "name": call.name, "input": parsed(call.arguments)}
    question = f"Allow {call.name} to execute?"
    yield stage.engine("tool_confirmation_required", tick, **known, message=question)
    confirmed = bool((yield Ask(call.id)))
    yield stage.engine("tool_confirmation_result", tick, callId=call.id, confirmed=confirmed, always=False)
    return confirmed


def _result(stage: Stage, tick: int, call: Call, content: list[Block], failed: bool, since: str) -> bytes:
    return stage.engine(
        "tool_result",
        tick,
        callId=call.id,
        name=call.name,
        result={"toolUseId": call.id, "name": call.name, "success": not failed, "content": content},
        isError=failed,
        executedBy="engine",
        startedAt=since,
        completedAt=stage.stamps.time(),
    )
