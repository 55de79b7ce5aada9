"""The agent's stream breaks everywhere, over a real socket, in every way: one ending, never half an answer as a whole.

The small runs are broken at every byte, the recorded ones in many places and beside the edge of every frame; streamed
and not. All that is done to an answer of chat; the other APIs, which share its way up to the encoder, are tried in
fewer places: the small runs are cut at every byte, the rest is sampled. The count of cases is in the last lines of the
tests' output.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_clients import CHAT_CLIENT, CLIENTS, ApiClient
from tests.support.faults import (
    CUTS,
    DEMO_RUNS,
    DOUBLE,
    DROP,
    FLIP,
    FRAME_FAULTS,
    FRAMING_FAULTS,
    RECORDED_RUNS,
    RESET,
    STALL,
    Case,
    Fault,
    Run,
    recorded,
    try_all,
)
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import LAST_WORD, Agent, enveloped, failure, text, tool_call

pytestmark = pytest.mark.slow

BY_THE_BYTE = [*CUTS, RESET, STALL, FLIP, DROP, DOUBLE]

STRIDE = 97
"""Bytes between two cuts of a recording; odd, so that cuts fall on every part of a frame."""
WIDE_STRIDE = 509
"""The same where nothing but the transport's word for it differs."""
OTHERS_STRIDE = 7
"""For the APIs beside chat: bytes of a small run between two places, and a share of the other cases."""
SILENCE = 0.4
"""Seconds after which a silent agent is aborted; enough for an agent that answers on a busy machine."""
STALLED_AT_ONCE = 200
"""They cost time, not work."""

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}

SMALL = {
    "an answer": [text("Hi"), text(" there"), LAST_WORD],
    "a failure": [
        text("Hi"),
        enveloped("execution_end", {"type": "execution_end", "error": {"message": "boom"}}),
        failure("boom"),
    ],
    "a call of the client's tool": [text("Hi"), *tool_call("c1", "weather", '{"city":"Paris"}')],
    "an answer of a newer gateway": [
        text("Hi"),
        enveloped("execution_end", {"type": "execution_end", "executionId": "e1", "aborted": False, "usage": {}}),
    ],
}
SAYS = {
    "an answer of a newer gateway": "Hi",
    "an answer": "Hi there",
    "a failure": None,
    "a call of the client's tool": "Hi",
}

Count = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The agent's faults are no faults of the proxy: nothing is logged with a stack trace."""
    yield
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []


async def break_run(proxy: StartProxy, agent: Agent, run: Run, cases: list[Case], count: Count) -> None:
    """Those that stall run together, with less patience for silence than the others."""
    stalled = [case for case in cases if case.fault is STALL]
    others = [case for case in cases if case.fault is not STALL]
    if others:
        await try_all(await proxy(**run.settings), agent, run, others)
    if stalled:
        impatient = await proxy(**run.settings, silence_timeout=SILENCE)
        await try_all(impatient, agent, run, stalled, STALLED_AT_ONCE)
    count("faults", dict(Counter(case.fault.kind for case in cases)))


def id_of(value: Any) -> str:
    return (
        value.name.partition(".")[0] if isinstance(value, Path) else value.name if isinstance(value, Fault) else value
    )


@pytest.mark.parametrize("fault", BY_THE_BYTE, ids=id_of)
@pytest.mark.parametrize("name", SMALL)
async def test_a_small_run_broken_at_every_byte(
    proxy: StartProxy, agent: Agent, record_property: Count, name: str, fault: Fault
) -> None:
    run = Run(b"".join(SMALL[name]), {"tools": [WEATHER]})
    assert run.text == SAYS[name]
    cases = [Case(fault, place, stream) for place in range(fault.places(run)) for stream in (True, False)]
    await break_run(proxy, agent, run, cases, record_property)


def sampled(run: Run, faults: list[Fault], stride: int) -> list[Case]:
    """All over the run, each place in one way and one mode, in turn."""
    ways = itertools.cycle(itertools.product(faults, (True, False)))
    places = range(0, len(run.wire), stride)
    cases = (Case(fault, place, stream) for place, (fault, stream) in zip(places, ways, strict=False))
    return [case for case in cases if case.place < case.fault.places(run)]


def on_edges(run: Run, faults: list[Fault]) -> list[Case]:
    """On the edge of every frame and beside it, in both modes."""
    return [
        Case(fault, place, stream)
        for fault in faults
        for edge in (run.edges if fault in CUTS[1:] else run.wire_edges)
        for place in (edge - 1, edge, edge + 1)
        if place < fault.places(run)
        for stream in (True, False)
    ]


def on_frames(run: Run, faults: list[Fault]) -> list[Case]:
    """Every frame in every way, in the two modes in turn."""
    modes = itertools.cycle((True, False))
    return [
        Case(fault, number, stream)
        for number, fault in itertools.product(range(len(run.frames)), faults)
        for stream in (next(modes),)
    ]


@pytest.mark.parametrize("path", RECORDED_RUNS, ids=id_of)
async def test_a_recorded_run_cut_in_many_places(
    proxy: StartProxy, agent: Agent, record_property: Count, path: Path
) -> None:
    run = recorded(path)
    await break_run(proxy, agent, run, sampled(run, CUTS, STRIDE) + on_edges(run, CUTS), record_property)


@pytest.mark.parametrize("path", RECORDED_RUNS, ids=id_of)
async def test_a_recorded_run_that_breaks_in_many_places(
    proxy: StartProxy, agent: Agent, record_property: Count, path: Path
) -> None:
    run = recorded(path)
    faults = [RESET, STALL, FLIP, DROP, DOUBLE]
    cases = [case for fault in faults for case in sampled(run, [fault], WIDE_STRIDE)]
    await break_run(proxy, agent, run, cases + on_edges(run, [RESET])[::3], record_property)


@pytest.mark.parametrize("path", RECORDED_RUNS, ids=id_of)
async def test_a_recorded_run_whose_frames_or_chunks_are_garbled(
    proxy: StartProxy, agent: Agent, record_property: Count, path: Path
) -> None:
    run = recorded(path)
    cases = on_frames(run, FRAME_FAULTS) + on_frames(run, FRAMING_FAULTS)[::5]
    await break_run(proxy, agent, run, cases, record_property)


@pytest.mark.parametrize("name", SMALL)
async def test_a_small_run_in_every_framing_that_is_none(
    proxy: StartProxy, agent: Agent, record_property: Count, name: str
) -> None:
    run = Run(b"".join(SMALL[name]), {"tools": [WEATHER]})
    cases = [
        Case(case.fault, case.place, stream) for case in on_frames(run, FRAMING_FAULTS) for stream in (True, False)
    ]
    await break_run(proxy, agent, run, cases, record_property)


@pytest.mark.parametrize("path", DEMO_RUNS, ids=id_of)
async def test_a_demo_run_broken_in_some_places(
    proxy: StartProxy, agent: Agent, record_property: Count, path: Path
) -> None:
    run = recorded(path)
    faults = [*BY_THE_BYTE, *FRAME_FAULTS]
    places = zip(faults, itertools.cycle((0.1, 0.95, 0.5, 0.75, 0.999)), strict=False)
    cases = [
        Case(fault, int(part * fault.places(run)), stream)
        for fault, part in places
        if fault.places(run)
        for stream in (True, False)
    ]
    await break_run(proxy, agent, run, cases, record_property)


# The other APIs

OTHERS = [client for client in CLIENTS if client is not CHAT_CLIENT]

each_other_api = pytest.mark.parametrize("client", OTHERS, ids=str)


def in_turn(cases: list[Case]) -> list[Case]:
    """A share of the cases; one for each mode in turn, since the stride is odd."""
    return cases[::OTHERS_STRIDE]


@each_other_api
@pytest.mark.parametrize("name", SMALL)
async def test_a_small_run_of_another_api_cut_at_every_byte(
    proxy: StartProxy, agent: Agent, record_property: Count, name: str, client: ApiClient
) -> None:
    run = Run(b"".join(SMALL[name]), {"tools": [WEATHER]}, client=client)
    assert run.text == SAYS[name]
    modes = itertools.cycle((True, True, False))
    cases = [Case(CUTS[0], place, stream) for place, stream in zip(range(CUTS[0].places(run)), modes, strict=False)]
    await break_run(proxy, agent, run, cases, record_property)


@each_other_api
@pytest.mark.parametrize("name", SMALL)
async def test_a_small_run_of_another_api_broken_in_every_way(
    proxy: StartProxy, agent: Agent, record_property: Count, name: str, client: ApiClient
) -> None:
    """A garbled head is no matter of the API; it may also leave a dead connection to the case behind it."""
    run = Run(b"".join(SMALL[name]), {"tools": [WEATHER]}, client=client)
    cases = [
        Case(fault, place, place % 2 == 0)
        for fault in BY_THE_BYTE[1:]
        for place in range(len(run.head) if fault.kind == "garbled" else 0, fault.places(run))
    ]
    await break_run(proxy, agent, run, in_turn(cases), record_property)


@each_other_api
@pytest.mark.parametrize("path", RECORDED_RUNS, ids=id_of)
async def test_a_recorded_run_of_another_api_broken_in_many_places(
    proxy: StartProxy, agent: Agent, record_property: Count, path: Path, client: ApiClient
) -> None:
    run = recorded(path, client)
    cases = [case for fault in (*CUTS, RESET, STALL) for case in sampled(run, [fault], 4 * WIDE_STRIDE)]
    cases += in_turn(on_edges(run, [CUTS[0], RESET])) + in_turn(on_frames(run, FRAME_FAULTS))
    await break_run(proxy, agent, run, cases, record_property)
