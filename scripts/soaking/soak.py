"""One soak: a proxy as a process, a scripted gateway and the clients beside it, samples every second."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import NamedTuple

from tests.support.processes import Child, stopping
from tests.support.proxy import chat_body
from tests.support.raw_client import Caller
from tests.support.scripted_gateway import Agent, Exchange, Reply, failure, serving

from .callers import KEY, KEY_LINE, Tally, clients
from .figures import Figures, sample
from .hostile import KINDS, work
from .loads import asked, words_of

PERIOD = 1.0
"""Seconds between two samples."""
SETTINGS = {"silence-timeout": "2", "session-wait": "20", "close-timeout": "5", "log-level": "error"}
LIMITS = {"send-timeout": "3", "head-timeout": "2", "body-timeout": "2", "api-key": KEY}
"""Short, so that hostile clients are disconnected soon."""


class Soak(NamedTuple):
    figures: Figures
    tally: Tally
    seconds: float
    output: str
    """The errors in the process's log; there should be none."""

    def faults(self) -> list[str]:
        """One line for each fault."""
        problems = [f"{count} answers: {kind}" for kind, count in self.tally.problems.most_common()]
        return [*problems, *self.figures.faults(), *(["the process logged errors"] if "ERROR" in self.output else [])]


async def soak(seconds: float, count: int, seed: int) -> Soak:
    """`count`: clients at once."""
    prompts: dict[str, str] = {}
    async with serving() as agent, process(agent, prompts) as (child, port):
        loop = asyncio.get_running_loop()
        await warm_up(port)
        await rest(agent)
        started = loop.time()
        figures, tally, stopping_ = Figures(sample(child.pid, 0)), Tally(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for client in clients(port, count, tally, seed):
                group.create_task(client.work(stopping_))
            for kind in KINDS:
                group.create_task(work(kind, port, tally, seed, stopping_))
            while loop.time() - started < seconds:
                await asyncio.sleep(PERIOD)
                forget(agent, prompts)
                figures.under_load.append(sample(child.pid, loop.time() - started))
            stopping_.set()
        taken = loop.time() - started
        await rest(agent)
        forget(agent, prompts)
        figures.left = [*prompts.values()]
        figures.after = sample(child.pid, loop.time() - started)
    return Soak(figures, tally, taken, child.output)


@contextlib.asynccontextmanager
async def process(agent: Agent, prompts: dict[str, str]) -> AsyncIterator[tuple[Child, int]]:
    """The proxy in front of the agent, and its port. `prompts`: filled with the prompt of each session."""

    def choose(exchange: Exchange) -> Reply:
        if not exchange.is_run:
            return Reply([failure('Unknown app "no-such-app". Available: soak')])
        load, number = asked(exchange.prompt)
        prompts[exchange.session] = exchange.prompt
        if load.lasting:
            agent.kept_sessions.add(exchange.session)
        return Reply(load.plays(words_of(load, number)))

    agent.replies("/send", choose)
    flags = [word for name, value in {**SETTINGS, **LIMITS}.items() for word in (f"--{name}", value)]
    child = Child(sys.executable, "-m", "oaicompat_proxy", "--port", "0", "--upstream", agent.url, *flags)
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopping(child))
        try:
            yield child, int((await asyncio.to_thread(child.wait_for, r"listens on +http://127\.0\.0\.1:(\d+)"))[1])
        finally:
            await asyncio.to_thread(stack.close)


async def warm_up(port: int) -> None:
    """Requests one answer of each form, so that all imports are done."""
    async with contextlib.aclosing(Caller(port)) as caller:
        for stream in (True, False):
            await caller.post(chat_body("usual/0", stream=stream), headers=[KEY_LINE])


async def rest(agent: Agent) -> None:
    """Waits until nothing goes on and no connection is open, or for so long that this never will be."""
    with contextlib.suppress(TimeoutError):
        await agent.until(lambda: not agent.left_behind and not agent.open_connections)


def forget(agent: Agent, prompts: dict[str, str]) -> None:
    """Forgets the requests of closed sessions."""
    for session in prompts.keys() - {each.removeprefix("session ") for each in agent.left_behind}:
        del prompts[session]
    agent.exchanges.clear()
    agent.closed_sessions.clear()
