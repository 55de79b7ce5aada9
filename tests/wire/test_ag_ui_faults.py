"""An AG-UI stream is cut everywhere: never half an answer sold as a whole. And the agent says no in every other way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import chain

import pytest

from tests.golden.test_golden import NAMES, read_options
from tests.support.faults import CUTS, FLIP, GOLDEN, RESET, Case, Fault, recorded, try_all
from tests.support.pipeline import Options, Outcome, new_reader, translate
from tests.support.proxy import Proxy, StartProxy
from tests.support.scripted_gateway import Agent, Reply, answer

pytestmark = pytest.mark.slow

TRANSCRIPTS = [name for name in NAMES if name.startswith("ag_ui_")]
MOST_CUTS = 1500
"""Number of cuts of one transcript; most are shorter, so they are cut at every byte."""

both_ways = pytest.mark.parametrize("stream", [True, False])


def native(name: str) -> bytes:
    return (GOLDEN / f"ag_ui_{name}.native.sse").read_bytes()


async def front_of(proxy: StartProxy, agent: Agent) -> Proxy:
    return await proxy(dialect="ag-ui", upstream=f"{agent.url}/harbor")


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_cut_transcript_is_a_failure_or_a_whole_answer(name: str) -> None:
    """It is whole before its last byte if the client's call ended it, or if more follows the run's end."""
    whole, options = (GOLDEN / f"{name}.native.sse").read_bytes(), read_options(name)
    complete = translated(whole, options)
    for end in range(0, len(whole), 1 + len(whole) // MOST_CUTS):
        outcome = translated(whole, options, end=end)
        assert outcome.failure is not None or outcome == complete


def translated(wire: bytes, options: Options, *, end: int | None = None) -> Outcome:
    """`end`: where the connection breaks."""
    reader = new_reader(wire, include_tool_activity=options.server_tools != "hide", dialect="ag-ui")
    return translate(chain(reader.feed(wire[:end]), () if end is not None else reader.flush(at_end=True)), options)


@pytest.mark.parametrize("fault", [*CUTS, RESET, FLIP], ids=lambda fault: fault.name)
@pytest.mark.parametrize(("name", "text"), [("client_tool", "Let me ask."), ("two_messages", "First.\n\nSecond.")])
async def test_a_run_broken_at_every_byte(
    proxy: StartProxy,
    agent: Agent,
    record_property: Callable[[str, object], None],
    name: str,
    text: str,
    fault: Fault,
) -> None:
    run = recorded(GOLDEN / f"ag_ui_{name}.native.sse")
    assert run.text == text
    cases = [Case(fault, place, stream) for place in range(fault.places(run)) for stream in (True, False)]
    await try_all(await proxy(**run.settings), agent, run, cases)
    record_property("faults", {fault.kind: len(cases)})


REFUSALS = {
    "a body that it does not take": (answer({"detail": "field required"}, 422), 502),
    "a fault of its own": (Reply([b"Internal Server Error"], 500, "text/plain", "length"), 502),
    "an answer that is no stream": (answer({"threadId": "t1"}), 502),
    "the other framing, which nobody asked for": (Reply([b"\0"], 200, "application/vnd.ag-ui.event+proto"), 502),
    "nothing at all": (Reply([]), 502),
}


@both_ways
@pytest.mark.parametrize(("reply", "status"), REFUSALS.values(), ids=REFUSALS)
async def test_an_agent_that_does_not_run(
    proxy: StartProxy, agent: Agent, reply: Reply, status: int, stream: bool
) -> None:
    agent.replies("/harbor", reply)
    received = await (await front_of(proxy, agent)).chat(stream=stream)
    assert received.status == status
    assert "error" in json.loads(received.body)
    assert received.headers["x-should-retry"] == "false"


async def test_what_is_asked_of_the_agent(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/harbor", Reply([native("two_messages")]))
    front = await proxy(dialect="ag-ui", upstream=f"{agent.url}/harbor", upstream_token="s3cret")
    assert (await front.chat("Hi")).status == 200
    (asked,) = agent.exchanges
    assert (asked.path, asked.headers["accept"], asked.headers["authorization"]) == (
        "/harbor",
        "text/event-stream",
        "Bearer s3cret",
    )


async def test_a_slash_at_the_end_of_an_address_is_kept(proxy: StartProxy, agent: Agent) -> None:
    """Frameworks redirect from one to the other, and a redirected POST is lost."""
    agent.replies("/harbor/", Reply([native("two_messages")]))
    front = await proxy(dialect="ag-ui", upstream=f"{agent.url}/harbor/")
    assert (await front.chat("Hi")).status == 200
    assert agent.exchanges[0].path == "/harbor/"


@pytest.mark.parametrize("status", [201, 202])
async def test_an_event_stream_with_any_status_of_success_is_a_run(
    proxy: StartProxy, agent: Agent, status: int
) -> None:
    """NestJS answers every POST with 201, and the official client accepts it."""
    agent.replies("/harbor", Reply([native("two_messages")], status))
    assert (await (await front_of(proxy, agent)).chat("Hi")).status == 200


async def test_a_named_session_is_one_run_at_a_time(proxy: StartProxy, agent: Agent) -> None:
    wait = asyncio.Event()
    agent.replies("/harbor", Reply([native("two_messages")[:200], wait, native("two_messages")[200:]]))
    front = await proxy(dialect="ag-ui", upstream=f"{agent.url}/harbor", session_wait=0.1)
    body = json.dumps({"model": "default", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    first = asyncio.create_task(front.post(body, headers={"X-Session-Id": "tides"}))
    await agent.until(lambda: agent.exchanges)
    second = await front.post(body, headers={"X-Session-Id": "tides"})
    other = asyncio.create_task(front.post(body, headers={"X-Session-Id": "moons"}))
    await agent.until(lambda: len(agent.exchanges) == 2)
    wait.set()
    assert (second.status, (await first).status, (await other).status) == (409, 200, 200)
