"""Socket to socket: a scripted agent or the demo gateway, the real application in front of it, and a client.

The application is started as the product starts it (`server.process.serve.listening`), not by aiohttp's test server,
which has settings of its own. After every test that uses these fixtures nothing may be left: no task, no answer that is
still being read from the agent, no open session.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from hypothesis import settings

from oaicompat_proxy.api.protocol import ClientApi
from oaicompat_proxy.api.registry import APIS
from oaicompat_proxy.config.settings import Config, SeveralGateways
from oaicompat_proxy.demo.gateway import STATE, create_gateway, serve_app
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.process.serve import listening
from oaicompat_proxy.server.upstream import session_closer
from tests.support import guardian
from tests.support.demo import WIRES, Demo, Wire, wire_of
from tests.support.examples import ALL, QUICK
from tests.support.leaks import TURNS_TO_CLOSE, check_descriptors, descriptors, no_tasks_left, nothing_left
from tests.support.paths import TESTS
from tests.support.proxy import SETTINGS, Proxy, StartProxy
from tests.support.scripted_gateway import PATIENCE, Agent, serving


@pytest.fixture(scope="session", autouse=True)
def interruptible_processes() -> Iterator[None]:
    """A shell script starts what runs in the background with SIGINT ignored. The tests' processes would inherit it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# Nothing is left behind: after every test, whatever it uses


async def kept_sessions(proxies: Sequence[Proxy]) -> int:
    """Those with one Redis share what they keep."""
    return max([await each.kept_sessions() for each in proxies if each.config.redis], default=0) + sum(
        [await each.kept_sessions() for each in proxies if not each.config.redis]
    )


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest) -> None:
    """Set up before all other fixtures of the test, so that it looks when all of them are gone."""
    is_async = inspect.iscoroutinefunction(request.function)
    request.getfixturevalue("_no_task_leaks" if is_async else "_no_descriptor_leaks")


@pytest.fixture
async def _no_task_leaks() -> AsyncIterator[None]:
    """No task goes on, and no socket is open."""
    before = descriptors()
    yield
    await no_tasks_left(besides=(), allowed=())
    for _ in range(TURNS_TO_CLOSE):
        if len(descriptors()) <= len(before):
            return
        await asyncio.sleep(0.001)  # a transport closes its socket in a later turn of the loop
    check_descriptors(before)


@pytest.fixture
def _no_descriptor_leaks() -> Iterator[None]:
    before = descriptors()
    yield
    check_descriptors(before)


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    """A scripted gateway. Tests set its script."""
    async with serving() as agent:
        yield agent


@pytest.fixture
async def proxy(agent: Agent) -> AsyncIterator[StartProxy]:
    """Starts a proxy in front of the agent, or of another `upstream`; the arguments are settings."""
    async with AsyncExitStack() as stack:
        started: list[Proxy] = []

        async def start(apis: Sequence[ClientApi] = tuple(APIS.values()), **settings: Any) -> Proxy:
            kind = SeveralGateways if "tables" in settings else Config
            config = kind(**{"upstream": agent.url, **SETTINGS, **settings})
            app = create_app(config, apis=apis)
            port = await stack.enter_async_context(listening(app, config))
            client = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=3 * PATIENCE)
                )
            )
            started.append(Proxy(app, config, port, client))
            return started[-1]

        yield start
        for each in started:
            await each.hang_up()
        await nothing_left(agent.left_beside, partial(kept_sessions, started))
        await no_tasks_left(besides=agent.tasks)
    await no_tasks_left(besides=agent.tasks, allowed=set())


@pytest.fixture
def named_sessions_stay_open(proxy: StartProxy, agent: Agent) -> Iterator[None]:
    """The sessions of the test's runs are named by their client, so they may be left open."""
    yield
    agent.kept_sessions |= {each.session for each in agent.runs}


@pytest.fixture
def no_close_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session whose closing fails is closed again without a pause."""
    monkeypatch.setattr(session_closer, "FIRST_PAUSE", 0.001)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port without a listener, which no other process gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    """A test that asks for it runs once for each wire; the fixtures `demo` and `front` then speak it, too."""
    return cast(Wire, request.param)


@pytest.fixture
async def demo(proxy: StartProxy, request: pytest.FixtureRequest) -> AsyncIterator[Demo]:
    """The demo gateway at full speed."""
    gateway = create_gateway(GatewaySettings(pace=0, wire=wire_of(request)))
    async with serve_app(gateway) as url:
        gateway_state = gateway[STATE]
        demo = Demo(url, gateway_state, await proxy(upstream=url))
        yield demo
        await demo.proxy.hang_up()

        def left(kept: int) -> list[str]:
            sessions = [f"session {session.key}" for session in gateway_state.sessions]
            return sessions if len(sessions) > kept else []

        await nothing_left(left, demo.proxy.kept_sessions)


ALL_SLOW = ("browser", "deploy", "hostile", "process", "sdk", "wire")
"""Directories of tests that start real programs, or take long on a socket."""


def is_quick(config: pytest.Config) -> bool:
    return str(config.option.markexpr) == "not slow"


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile(QUICK if is_quick(config) else ALL)
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", 0):  # not where only workers run tests
        guardian.watch()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Slow tests are not imported in a quick run."""
    is_slow = collection_path.parent == TESTS and collection_path.name in ALL_SLOW
    return True if is_quick(config) and is_slow else None


def pytest_collection_finish() -> None:
    freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Freezes after the last test of a file, when its fixtures are gone."""
    if nextitem is None or item.path != nextitem.path:
        freeze()


def freeze() -> None:
    """After it, the garbage collector no longer looks at collected tests, libraries, and what earlier files left.

    Frozen once only, the heap grew to two million objects, and a third of the quick set's time went into walking it.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    guardian.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).parts[0] in ALL_SLOW:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many ways to fail were tried, added up over all workers."""
    kinds: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "faults":
                kinds.update(value)
    if kinds:
        each = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())
        terminalreporter.write_line(f"faults: {kinds.total():,} cases ({each})")
