"""Fixtures for `proxy_harness`: a test module that wants them says `pytest_plugins = ["tests.support.proxy_fixtures"]`.

The gateway outlives its proxies. After each test nothing may be left: no run that goes on, no run that
two callers read, no session beside those that the test says are lasting, no task.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.demo.gateway import STATE, create_gateway, serve_app
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.server.shared_storage import redis_client
from tests.support.demo import wire_of
from tests.support.leaks import no_tasks_left
from tests.support.proxy import SETTINGS
from tests.support.proxy_harness import Front, RedisServer, StartFront, listen, running_redis
from tests.support.scripted_gateway import PATIENCE


@pytest.fixture
async def front(request: pytest.FixtureRequest) -> AsyncIterator[StartFront]:
    """Starts a gateway, by default without pauses, and a proxy; the arguments are the proxy's settings.

    With `wire` in the test's own arguments (`pytestmark = pytest.mark.usefixtures("wire")` for a module) every gateway
    speaks that wire.

    `beside=FRONT` starts another proxy in front of the same gateway instead.
    """
    wire = {"wire": wire_of(request)} if "wire" in request.fixturenames else {}
    async with AsyncExitStack() as stack:
        fronts: list[Front] = []

        async def start(
            gateway: GatewaySettings | None = None, /, *, beside: Front | None = None, **settings: Any
        ) -> Front:
            if beside is not None:
                url, gateway_state, lasting = beside.url, beside.gateway_state, beside.lasting
            else:
                app = create_gateway(replace(gateway or GatewaySettings(pace=0), **wire))
                url, gateway_state, lasting = await stack.enter_async_context(serve_app(app)), app[STATE], set()
            config = Config(**{"upstream": url, **SETTINGS, **settings})
            fronts.append(Front(url, gateway_state, await listen(config, stack), lasting))
            return fronts[-1]

        yield start
        for each in fronts:
            await each.proxy.hang_up()
        for each in fronts:
            try:
                await each.nothing_left()
            except TimeoutError:
                left = {*each.sessions} - each.lasting
                pytest.fail(f"left behind: {each.running} runs, sessions {left}")
            assert {run.readers for run in each.runs} <= {1}, "two callers were given one run"
    await no_tasks_left(besides=(), allowed=())


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def patience_with_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command has the time that a busy machine needs. For tests that are not about a slow Redis."""
    monkeypatch.setattr(redis_client, "COMMAND_TIMEOUT", PATIENCE)


@pytest.fixture
def redis_server(_redis_server: RedisServer, patience_with_redis: None) -> RedisServer:
    """The shared Redis server, emptied."""
    _redis_server.clear()
    return _redis_server


@pytest.fixture(params=["memory", "file", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The settings of each store of answers."""
    if request.param == "file":
        return {"response_db": str(tmp_path / "responses.db")}
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return {"redis": server.url}
    return {}


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis server of this test alone, which it may stop."""
    with running_redis() as server:
        yield server
