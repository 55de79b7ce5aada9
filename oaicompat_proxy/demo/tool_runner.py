"""The engine's execution of tool calls: all calls of a message, one after another. Pure.

The engine does not distinguish its own tools from a client's: for a client's tool it makes up a result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from .frames import FrameFactory
from .message_stream import Item
from .script import ScriptedToolCall, Spawn, parse_arguments

DENIED_RESULT = "The user refused the call"


@dataclass(frozen=True, slots=True)
class AwaitConfirmation:
    """The run waits until this call is confirmed or denied."""

    call_id: str


RunItems = Generator[Item | AwaitConfirmation, bool | None, None]
Block = dict[str, Any]
SpawnRunner = Callable[[int, ScriptedToolCall, Spawn], RunItems]


def run_tools(
    frames: FrameFactory, tick: int, calls: list[ScriptedToolCall], spawn: SpawnRunner
) -> Generator[Item | AwaitConfirmation, bool | None, list[Block]]:
    """Yields the events; returns the blocks of the tool message that follows."""
    results = []
    for call in calls:
        since = frames.stamps.time()
        yield frames.engine_event("tool_result_start", tick, callId=call.id, name=call.name)
        allowed = (yield from _confirm(frames, tick, call)) if call.confirm else True
        if call.spawn:
            yield from spawn(tick, call, call.spawn)
        text, failed = result_of(call) if allowed else (DENIED_RESULT, True)
        content = [{"type": "text", "text": text}]
        yield _result(frames, tick, call, content, failed, since)
        named = {"type": "tool_result", "toolUseId": call.id, "name": call.name}
        results.append({**named, "content": content, "isError": failed})
    return results


def result_of(call: ScriptedToolCall) -> tuple[str, bool]:
    if call.executed_by == "client":
        return f"[{call.name} rendered on client]", False
    return call.result, call.is_error


def _confirm(
    frames: FrameFactory, tick: int, call: ScriptedToolCall
) -> Generator[Item | AwaitConfirmation, bool | None, bool]:
    known = {"callId": call.id, "name": call.name, "input": parse_arguments(call.arguments)}
    question = f"Allow {call.name} to execute?"
    yield frames.engine_event("tool_confirmation_required", tick, **known, message=question)
    confirmed = bool((yield AwaitConfirmation(call.id)))
    yield frames.engine_event("tool_confirmation_result", tick, callId=call.id, confirmed=confirmed, always=False)
    return confirmed


def _result(
    frames: FrameFactory, tick: int, call: ScriptedToolCall, content: list[Block], failed: bool, since: str
) -> bytes:
    return frames.engine_event(
        "tool_result",
        tick,
        callId=call.id,
        name=call.name,
        result={"toolUseId": call.id, "name": call.name, "success": not failed, "content": content},
        isError=failed,
        executedBy="engine",
        startedAt=since,
        completedAt=frames.stamps.time(),
    )
