"""N events of a kind cost N times as much as one, and what they make the reader remember has a limit.

Times are of the processor, and the least of a few tries: a square at these numbers costs hundreds of times as much, not
tens.
"""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import pytest

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.dialects.ag_ui.reader import EventReader

pytestmark = pytest.mark.slow

FEW, MANY = 250, 5_000
TRIES = 2
MOST_TIMES = 4 * MANY // FEW
"""How much longer the many may take than the few."""
MOST_SECONDS = 3.0
MOST_MEMORY = 64 * 1024 * 1024
"""Bytes at a time for the many."""

Data = dict[str, Any]
START = {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"}
DONE = {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1"}


def text(word: str, number: int, **more: Any) -> Data:
    return {"type": f"TEXT_MESSAGE_{word}", "messageId": f"a{number}", "delta": "Six.", **more}


def thought(word: str, number: int, **more: Any) -> Data:
    return {"type": f"REASONING_MESSAGE_{word}", "messageId": f"z{number}", "delta": "Hm.", **more}


def call(word: str, number: int, **more: Any) -> Data:
    return {"type": f"TOOL_CALL_{word}", "toolCallId": f"c{number}", "toolCallName": "tide", "delta": "{}", **more}


def result(number: int) -> Data:
    return {"type": "TOOL_CALL_RESULT", "messageId": f"x{number}", "toolCallId": f"c{number}", "content": "06:12"}


def child(word: str, number: int) -> Data:
    return {"type": f"SUBAGENT_{word}", "subagentRunId": f"s{number}", "name": "pilot", "message": "Fog."}


def each(*steps: Callable[[int], Iterable[Data]]) -> Callable[[int], Iterator[Data]]:
    """N times the first step, then N times the next, …"""
    return lambda count: chain.from_iterable(step(number) for step in steps for number in range(count))


def marked(events: Iterable[Data]) -> list[Data]:
    return [{**event, "subagentRunId": "s1"} for event in events]


KINDS: dict[str, Callable[[int], Iterable[Data]]] = {
    "pieces of one message": each(lambda _: [text("CONTENT", 0)]),
    "messages": each(lambda n: [text("START", n), text("CONTENT", n), text("END", n)]),
    "messages at the same time": each(*(lambda n, word=word: [text(word, n)] for word in ("START", "CONTENT", "END"))),
    "messages that never end": each(lambda n: [text("CONTENT", n)]),
    "a message that is opened again": each(lambda _: [text("START", 0), text("CONTENT", 0), text("END", 0)]),
    "messages in the short form": each(lambda n: [text("CHUNK", n), text("CHUNK", n)]),
    "echoes": each(lambda n: [text("START", n, role="user"), text("CONTENT", n)]),
    "thoughts": each(lambda n: [thought("START", n), thought("CONTENT", n), thought("END", n)]),
    "thoughts at the same time": each(
        *(lambda n, word=word: [thought(word, n)] for word in ("START", "CONTENT", "END"))
    ),
    "thoughts in the short form": each(lambda n: [thought("CHUNK", n)]),
    "thoughts of the 0.x age": each(lambda _: [{"type": "THINKING_TEXT_MESSAGE_CONTENT", "delta": "Hm."}]),
    "pieces of one call": each(lambda _: [call("ARGS", 0)]),
    "calls": each(lambda n: [call("START", n), call("ARGS", n), call("END", n)]),
    "calls at the same time": each(*(lambda n, word=word: [call(word, n)] for word in ("START", "ARGS", "END"))),
    "calls in the short form": each(lambda n: [call("CHUNK", n), call("CHUNK", n)]),
    "calls with results": each(lambda n: [call("START", n), call("END", n), result(n)]),
    "calls with results that come late": each(lambda n: [call("START", n), call("END", n)], lambda n: [result(n)]),
    "calls and what is said after each": each(lambda n: [call("START", n), call("END", n), text("CHUNK", n)]),
    "calls, results and what is said after each": each(lambda n: [call("START", n), result(n), text("CHUNK", n)]),
    "results of nothing": each(lambda n: [result(n)]),
    "sub-agents": each(lambda n: [child("STARTED", n), child("FINISHED", n)]),
    "sub-agents at the same time": each(lambda n: [child("STARTED", n)], lambda n: [child("ERROR", n)]),
    "messages of a sub-agent": each(lambda n: marked([text("START", n), text("CONTENT", n), text("END", n)])),
    "messages of a sub-agent that never end": each(lambda n: marked([text("START", n)])),
    "calls of a sub-agent that never end": each(lambda n: marked([call("START", n)])),
    "short forms of many sub-agents": each(lambda n: [text("CHUNK", n, subagentRunId=f"s{n}")]),
    "questions": each(lambda n: [{"type": "CUSTOM", "name": "on_interrupt", "value": {"id": f"i{n}"}}]),
    "other custom events": each(lambda n: [{"type": "CUSTOM", "rawEvent": {}, "name": f"n{n}", "value": {}}]),
    "reasons": each(lambda n: [text("END", n, metadata={"finishReason": "length"})]),
    "snapshots of the conversation": each(
        lambda n: [{"type": "MESSAGES_SNAPSHOT", "messages": [{"id": f"a{n}", "role": "assistant", "content": "Six."}]}]
    ),
    "state": each(lambda n: [{"type": "STATE_DELTA", "delta": [{"op": "add", "path": f"/{n}", "value": n}]}]),
    "steps": each(lambda n: [{"type": "STEP_STARTED", "stepName": f"{n}"}]),
    "activities": each(lambda n: [{"type": "ACTIVITY_SNAPSHOT", "messageId": f"v{n}", "content": {}}]),
    "unknown events": each(lambda n: [{"type": f"NEW_{n}"}]),
}

REPLAYS: dict[str, Callable[[int], Iterable[Data]]] = {
    "replayed runs": each(lambda n: [{**START, "runId": f"o{n}"}, text("CHUNK", n), {**DONE, "runId": f"o{n}"}]),
    "runs behind the wanted one": lambda count: [
        *(START, DONE),
        *each(lambda n: [{**START, "runId": f"o{n}"}, text("CHUNK", n), {**DONE, "runId": f"o{n}"}])(count),
    ],
    "the wanted run again": each(lambda n: [START, text("CHUNK", n), DONE]),
}


def wire_of(events: Iterable[Data]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def read(wire: bytes) -> int:
    """The number of events. A limit that is exceeded ends the reading early."""
    reader, count = EventReader(max_frame=1024 * 1024, include_tool_activity=True, run_id="r1"), 0
    try:
        for _ in chain(reader.feed(wire), reader.flush(at_end=True)):
            count += 1
    except UpstreamError:
        pass
    return count


def seconds_of(wire: bytes) -> float:
    best = float("inf")
    for _ in range(TRIES):
        gc.collect()
        began = time.process_time()
        read(wire)
        best = min(best, time.process_time() - began)
    return best


CASES = {**{name: lambda count, make=make: [START, *make(count), DONE] for name, make in KINDS.items()}, **REPLAYS}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_many_events_of_a_kind_cost_as_much_as_they_are_many(make: Callable[[int], Iterable[Data]]) -> None:
    few, many = wire_of(make(FEW)), wire_of(make(MANY))
    least, most = max(seconds_of(few), 0.001), seconds_of(many)
    assert most < MOST_SECONDS
    assert most / least < MOST_TIMES


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_what_many_events_of_a_kind_leave_behind_is_bound(make: Callable[[int], Iterable[Data]]) -> None:
    wire = wire_of(make(MANY))
    tracemalloc.start()
    try:
        read(wire)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY


LONG = 10**2000
"""Added to a number, it makes a long name."""

ENDLESS: dict[str, Callable[[int], Data]] = {
    "messages": lambda n: text("CONTENT", LONG + n),
    "thoughts": lambda n: thought("START", LONG + n),
    "calls": lambda n: call("START", LONG + n),
    "arguments": lambda _: call("ARGS", 0, delta="x" * 2000),
    "sub-agents": lambda n: child("STARTED", LONG + n),
    "a sub-agent's messages": lambda n: marked([text("START", LONG + n)])[0],
    "a sub-agent's calls": lambda n: marked([call("START", LONG + n)])[0],
    "short forms": lambda n: text("CHUNK", n, subagentRunId=f"s{LONG + n}"),
}


@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
def test_an_agent_that_never_ends_anything_has_its_bounds(make: Callable[[int], Data]) -> None:
    reader = EventReader(max_frame=1024 * 1024, run_id="r1")
    list(reader.feed(wire_of([START])))
    tracemalloc.start()
    try:
        for start in range(0, 30_000, 500):
            try:
                list(reader.feed(wire_of(make(number) for number in range(start, start + 500))))
            except UpstreamError:
                break
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < MOST_MEMORY
