"""SIGHUP: a real process takes other settings while it serves, all of them or none."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oaicompat_proxy.config.file import to_toml
from oaicompat_proxy.server.runtime import DRAIN_POLL
from tests.process.test_rolling_restart import ask_on
from tests.support.conformance import check_body
from tests.support.issuer import AUDIENCE, CONFIGURATION, JWKS, SigningKey, serving_issuer
from tests.support.processes import Child
from tests.support.proxy import chat_body
from tests.support.scripted_gateway import Agent, answer, run, serving

pytestmark = pytest.mark.slow

CLIENTS = 8
RELOADS = 5


class Reloadable:
    """A proxy whose file can be written anew."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._output = 0
        self.child: Child
        self.base = ""

    def write(self, *, gateways: Sequence[dict[str, Any]] = (), **settings: Any) -> None:
        tables = "".join(f"[[gateway]]\n{toml(**each)}" for each in gateways)
        self._file.write_text(toml(**settings) + tables)

    async def reload(self, **settings: Any) -> str:
        """The log lines of the reload."""
        self.write(**settings)
        before = len(self.child.output)
        self.child.signal(signal.SIGHUP)
        await asyncio.to_thread(self.child.wait_for, rf"(?s)^.{{{before}}}.*(?:configuration (?:not )?reloaded).*\n")
        await asyncio.sleep(0.05)  # what is ignored stands in a line behind
        return self.child.output[before:]

    async def ask(
        self, *, path: str = "/v1/chat/completions", headers: dict[str, str] | None = None, **fields: Any
    ) -> str:
        """The answer's text."""
        async with (
            aiohttp.ClientSession() as client,
            client.post(self.base + path, data=chat_body(stream=False, **fields), headers=headers) as response,
        ):
            return check_body(await response.read()).text

    async def fails(self, headers: dict[str, str] | None = None) -> int:
        """The status of a question that is not answered."""
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"{self.base}/v1/chat/completions", data=chat_body(stream=False), headers=headers) as response,
        ):
            return response.status

    async def get(self, path: str) -> str:
        async with aiohttp.ClientSession() as client, client.get(self.base + path) as response:
            return await response.text()


def toml(**settings: Any) -> str:
    return "".join(f"{key} = {to_toml(value)}\n" for key, value in settings.items())


@asynccontextmanager
async def started(file: Path, *flags: str, **settings: Any) -> AsyncIterator[Reloadable]:
    proxy = Reloadable(file)
    proxy.write(**settings)
    command = (sys.executable, "-m", "oaicompat_proxy", "--config", str(file), "--port", "0", *flags)
    proxy.child = await asyncio.to_thread(Child, *command)
    try:
        listening = await asyncio.to_thread(proxy.child.wait_for, r"listens on +(http://127\.0\.0\.1:\d+)")
        proxy.base = listening[1]
        yield proxy
    finally:
        await asyncio.to_thread(proxy.child.stop)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "its.toml"


@pytest.mark.parametrize("flags", [(), ("--workers", "2")], ids=["one process", "two workers"])
async def test_other_settings_under_load_break_no_answer(file: Path, agent: Agent, flags: tuple[str, ...]) -> None:
    agent.plays(run("from a"))
    counts: Counter[str] = Counter()
    over = asyncio.Event()
    async with serving() as other, started(file, *flags, upstream=agent.url) as proxy:
        other.plays(run("from b"))
        asking = [asyncio.create_task(ask_on(proxy.base, counts, over, stream=bool(n % 3))) for n in range(CLIENTS)]
        for number in range(RELOADS):
            await asyncio.sleep(0.3)
            assert "configuration reloaded" in await proxy.reload(upstream=(other, agent)[number % 2].url)
        await asyncio.sleep(0.5)
        over.set()
        await asyncio.gather(*asking)
        if not flags:
            assert await proxy.ask() == "from b"
        await other.until(lambda: not other.left_behind)
    assert counts.keys() == {"whole"}, counts
    assert counts["whole"] > 20
    assert agent.runs
    assert other.runs


async def test_what_a_model_is_changes(file: Path, agent: Agent) -> None:
    async def description(proxy: Reloadable) -> str:
        (model,) = json.loads(await proxy.get("/v1/models"))["data"]
        return str(model["description"])

    agent.replies("/invoke", answer({"apps": []}))
    about = {"default": {"description": "Before", "input_modalities": ("text",)}}
    async with started(file, upstream=agent.url, model_info=about) as proxy:
        assert await description(proxy) == "Before"
        log = await proxy.reload(upstream=agent.url, model_info={"default": {"description": "Afterwards"}})
        assert "configuration reloaded" in log
        assert await description(proxy) == "Afterwards"
        assert 'model_info."default": there is no key tool' in await proxy.reload(model_info={"default": {"tool": 1}})
        assert await description(proxy) == "Afterwards"


async def test_a_running_answer_ends_as_it_began(file: Path, agent: Agent) -> None:
    agent.plays(0.8, run("from a"))
    async with serving() as other, started(file, upstream=agent.url) as proxy:
        other.plays(run("from b"))
        asking = asyncio.create_task(proxy.ask())
        await agent.until(lambda: agent.runs)
        assert "configuration reloaded" in await proxy.reload(upstream=other.url)
        assert await proxy.ask() == "from b"
        assert await asking == "from a"
        await other.until(lambda: not other.left_behind)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"port": "web"}, "line 1: port must be a whole number"),
        ({"upstreem": "http://a"}, "line 1: there is no setting upstreem; did you mean upstream?"),
        ({"upstream": "gateway"}, "line 1: upstream must be"),
        ({"upstream": "http://a", "record": "/proc/none"}, "--record cannot use /proc/none"),
        ({"upstream": "http://a", "api_keys_file": "/nowhere"}, "--api-keys-file /nowhere cannot be used"),
    ],
)
async def test_a_bad_file_changes_nothing_and_the_log_says_why(
    file: Path, agent: Agent, settings: dict[str, Any], reason: str
) -> None:
    agent.plays(run("from a"))
    async with started(file, upstream=agent.url) as proxy:
        lines = (await proxy.reload(**settings)).splitlines()
        (line,) = (each for each in lines if "configuration not reloaded, keeping the previous one: " in each)
        assert reason in line
        assert await proxy.ask() == "from a"
        assert "configuration reloaded" in await proxy.reload(upstream=agent.url)


async def test_what_needs_a_restart_is_said_to_be_ignored(file: Path, agent: Agent) -> None:
    agent.plays(run("from a"))
    async with started(file, upstream=agent.url) as proxy:
        log = await proxy.reload(upstream=agent.url, host="localhost", max_runs=3, keep_alive=1)
        assert "configuration reloaded" in log
        assert "ignored until restart: host, max_runs\n" in log
        assert await proxy.ask() == "from a"


async def test_a_flag_stays_over_the_file(file: Path, agent: Agent) -> None:
    agent.plays(run("from a"))
    async with started(file, "--upstream", agent.url, keep_alive=1) as proxy:
        assert "configuration reloaded" in await proxy.reload(upstream="http://127.0.0.1:1")
        assert await proxy.ask() == "from a"


async def test_sessions_and_kept_answers_outlast_it(file: Path, agent: Agent) -> None:
    agent.plays(run("from a"))
    headers = {"X-Session-Id": "mine", "Idempotency-Key": "once"}
    async with started(file, upstream=agent.url, keep_alive=1) as proxy:
        await proxy.ask(headers=headers)
        agent.kept_sessions.add(agent.runs[0].session)
        assert "configuration reloaded" in await proxy.reload(upstream=agent.url, keep_alive=2)
        assert await proxy.ask(headers=headers) == "from a"
        assert len(agent.runs) == 1
        await proxy.ask(headers={"X-Session-Id": "mine"})
        assert agent.runs[1].session == agent.runs[0].session


async def test_what_was_counted_is_not_forgotten(file: Path, agent: Agent, closed_port: int) -> None:
    """Also the counts of runtimes that were replaced."""
    agent.plays(run("from a"))
    async with started(file, upstream=f"http://127.0.0.1:{closed_port}", connect_retries=2) as proxy:
        assert await proxy.fails() == 502
        assert "configuration reloaded" in await proxy.reload(upstream=agent.url)
        await proxy.ask()
        await asyncio.sleep(2 * DRAIN_POLL)
        metrics = await proxy.get("/metrics")
        assert 'oaicompat_retries_total{what="connect"} 2.0' in metrics.splitlines()
        assert len(re.findall("^oaicompat_runs_total{", metrics, re.MULTILINE)) == 2


async def test_a_session_is_held_over_it(file: Path, agent: Agent) -> None:
    """One run at a time, whichever settings it began under."""
    holds = asyncio.Event()
    agent.plays(holds, run("from a"))
    async with started(file, upstream=agent.url, keep_alive=1) as proxy:
        first = asyncio.create_task(proxy.ask(headers={"X-Session-Id": "mine"}))
        await agent.until(lambda: agent.runs)
        agent.kept_sessions.add(agent.runs[0].session)
        assert "configuration reloaded" in await proxy.reload(upstream=agent.url, keep_alive=2)
        second = asyncio.create_task(proxy.ask(headers={"X-Session-Id": "mine"}))
        assert await proxy.get("/healthz")
        await asyncio.sleep(0.3)  # in which it would reach the agent, if it were let through
        assert len(agent.runs) == 1
        holds.set()
        assert [await first, await second] == ["from a", "from a"]


async def test_several_gateways_answer_under_the_new_settings(file: Path, agent: Agent) -> None:
    agent.plays(run("from a"))
    page = "https://page.example"
    async with serving() as other:
        other.plays(run("from b"))
        gateways = [{"prefix": "/a", "upstream": agent.url}, {"prefix": "/b", "upstream": other.url}]
        async with started(file, gateways=gateways, cors="https://another.example") as proxy:
            assert await allowed_origin(proxy.base + "/a/models", page) is None
            gateways[0]["upstream"] = other.url
            assert "configuration reloaded" in await proxy.reload(gateways=gateways, cors=page)
            assert await proxy.ask(path="/a/chat/completions") == "from b"
            assert await allowed_origin(proxy.base + "/a/models", page) == page
            assert await allowed_origin(proxy.base + "/b/models", page) == page


async def allowed_origin(url: str, origin: str) -> str | None:
    async with aiohttp.ClientSession() as client, client.get(url, headers={"Origin": origin}) as response:
        return response.headers.get("Access-Control-Allow-Origin")


async def test_the_keys_of_an_issuer_survive(file: Path, agent: Agent) -> None:
    """As long as it is the same issuer; another one's keys are fetched."""
    agent.plays(run("Hello"))
    async with serving_issuer() as issuer, serving_issuer(SigningKey("k1")) as other:
        bearer = {"Authorization": f"Bearer {issuer.token()}"}
        given = {"upstream": agent.url, "api_key": ["sk-1"], "jwt_audience": [AUDIENCE]}
        async with started(file, **given, jwt_issuer=issuer.url) as proxy:
            assert await proxy.ask(headers=bearer) == "Hello"
            issuer.is_down = True
            await proxy.reload(**given, jwt_issuer=issuer.url, jwt_keys_ttl=1200.0)
            assert await proxy.ask(headers=bearer) == "Hello"
            await proxy.reload(**given, jwt_issuer=other.url)
            assert await proxy.ask(headers={"Authorization": f"Bearer {other.token()}"}) == "Hello"
            assert await proxy.fails(headers=bearer) == 401
        assert issuer.fetches == {CONFIGURATION: 1, JWKS: 1}
