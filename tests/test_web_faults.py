"""The agent's stream is cut everywhere, over a real socket, in every framing: never half an answer sold as a whole."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from agent import LAST_WORD, PATIENCE, Agent, Reply, enveloped, failure, text, tool_call
from checker import check_body, check_error_body, check_stream
from conftest import Proxy, StartProxy

RECORDED = Path(__file__).parents[2] / "shared" / "recordings"
GOLDEN = Path(__file__).parent / "golden"
LIKE_THEM = ("text", "unicode", "reasoning", "own_tool", "client_tool", "spawn", "fail_start", "fail_midstream")
RECORDINGS = sorted(RECORDED.glob("*.sse")) or [GOLDEN / f"{name}.native.sse" for name in LIKE_THEM]
"""Runs of a real gateway where they are at hand, else our own that are made like them."""

STRIDE = 97
"""Bytes between two cuts of a recording; odd, so that cuts fall on every part of a frame."""
AT_ONCE = 40
BATCH = 500
"""Cases after which all that was begun must be cleaned up."""

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}

CHUNKED_END = len(b"\r\n0\r\n\r\n")
"""Bytes that may be missing at the end of a chunked body without a word of the agent being lost."""

Framing = Callable[[bytes, int], Reply]


@dataclass(frozen=True)
class Case:
    """One run that is cut after `end` bytes, one request."""

    framing: Framing
    end: int
    stream: bool


# Three ways to end too early


def chunked_cut(body: bytes, end: int) -> Reply:
    """One chunk per event, as the real gateway does; the connection closes in the middle."""
    whole = Reply([])
    wire = whole.head() + b"".join(whole.framed(frame) for frame in frames(body)) + whole.end()
    return Reply([wire[:end], "cut"], framing="raw")


def close_delimited(body: bytes, end: int) -> Reply:
    """Without chunks or length nobody can tell an end from a cut, except by what was said."""
    return Reply([body[:end]], framing="close")


def properly_ended(body: bytes, end: int) -> Reply:
    """The framing says that all is well, but the agent has not said its last word."""
    return Reply([body[:end]] if end else [])


FRAMINGS = (chunked_cut, close_delimited, properly_ended)


def frames(body: bytes) -> list[bytes]:
    return [each + b"\n\n" for each in body.split(b"\n\n")[:-1]]


@cache
def wire_length(framing: Framing, body: bytes) -> int:
    if framing is not chunked_cut:
        return len(body)
    step = chunked_cut(body, 2**31).steps
    return len(next(each for each in step if isinstance(each, bytes)))


# The runs

SMALL = {
    "an answer": [text("Hi"), text(" there"), LAST_WORD],
    "a failure": [
        text("Hi"),
        enveloped("execution_end", {"type": "execution_end", "error": {"message": "boom"}}),
        failure("boom"),
    ],
    "a call of the client's tool": [text("Hi"), *tool_call("c1", "weather", '{"city":"Paris"}')],
}


async def verdict(front: Proxy, case: Case, number: int, **fields: Any) -> str | None:
    """The text of a success; None if the client was told of a failure. Anything else fails the test."""
    async with asyncio.timeout(PATIENCE):
        received = await front.chat(str(number), stream=case.stream, **fields)
    assert b"Traceback" not in received.body
    if received.status != 200:
        check_error_body(received.body)
        return None
    answer = check_stream(received.body, include_usage=False) if case.stream else check_body(received.body)
    return None if answer.error is not None else answer.text


async def cut_everywhere(
    front: Proxy, agent: Agent, body: bytes, cases: list[Case], text: str | None, **fields: Any
) -> None:
    """`text`: what the whole run says, None if it fails."""
    agent.replies("/send", lambda exchange: cases[int(exchange.prompt)].framing(body, cases[int(exchange.prompt)].end))
    limit = asyncio.Semaphore(AT_ONCE)

    async def check(number: int, case: Case) -> None:
        async with limit:
            said = await verdict(front, case, number, **fields)
        is_whole = case.end >= wire_length(case.framing, body) - (CHUNKED_END if case.framing is chunked_cut else 0)
        assert said == (text if is_whole else None), f"{said!r} after {case}"

    for start in range(0, len(cases), BATCH):
        async with asyncio.TaskGroup() as group:
            for number, case in enumerate(cases[start : start + BATCH], start):
                group.create_task(check(number, case))
        await agent.until(lambda: not agent.left_behind)


@pytest.fixture(autouse=True)
def no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The agent's faults are no faults of the proxy: nothing is logged with a stack trace."""
    yield
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("name", SMALL)
async def test_a_small_run_cut_at_every_byte(
    proxy: StartProxy, agent: Agent, record_property: Callable[[str, object], None], name: str, framing: Framing
) -> None:
    body = b"".join(SMALL[name])
    ends = range(wire_length(framing, body) + 1)
    cases = [Case(framing, end, stream) for end in ends for stream in (True, False)]
    expected = {"an answer": "Hi there", "a failure": None, "a call of the client's tool": "Hi"}[name]
    await cut_everywhere(await proxy(), agent, body, cases, expected, tools=[WEATHER])
    record_property("fault cases", len(cases))


def sampled_cases(body: bytes) -> list[Case]:
    """Cuts all over the run, each in one framing and one mode, in turn."""
    ways = itertools.cycle(itertools.product(FRAMINGS, (True, False)))
    return [
        Case(framing, end, stream) for end, (framing, stream) in zip(range(0, len(body), STRIDE), ways, strict=False)
    ]


def edge_cases(body: bytes) -> list[Case]:
    """Cuts on the edge of every frame and beside it, in all framings and modes."""
    framed = [Reply([]).framed(frame) for frame in frames(body)]
    ends = {
        chunked_cut: itertools.accumulate(map(len, framed), initial=len(Reply([]).head())),
        close_delimited: itertools.accumulate(map(len, frames(body))),
        properly_ended: itertools.accumulate(map(len, frames(body))),
    }
    return [
        Case(framing, end, stream)
        for framing, edges in ends.items()
        for edge in edges
        for end in (edge - 1, edge, edge + 1)
        if end <= wire_length(framing, body)
        for stream in (True, False)
    ]


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.name.partition(".")[0])
def body(request: pytest.FixtureRequest) -> bytes:
    """A recorded run."""
    path: Path = request.param
    return path.read_bytes()


async def test_a_recorded_run_cut_in_many_places(
    proxy: StartProxy, agent: Agent, record_property: Callable[[str, object], None], body: bytes
) -> None:
    front = await proxy()
    agent.plays(frames(body))
    whole = await front.chat()
    answer = check_stream(whole.body, include_usage=False) if whole.status == 200 else None
    expected = answer.text if answer is not None and answer.error is None else None
    cases = sampled_cases(body) + edge_cases(body)
    await cut_everywhere(front, agent, body, cases, expected)
    record_property("fault cases", len(cases))
