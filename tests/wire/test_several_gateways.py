"""Several gateways in one process: each with its own prefix, token, models, settings and sessions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from oaicompat_proxy.config.settings import ConfigError, SeveralGateways, merge_reloadable
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.prometheus_text import scrape
from tests.support.proxy import Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, answer, run, serving


@asynccontextmanager
async def two(proxy: StartProxy, first: Agent, **settings: Any) -> AsyncIterator[tuple[Proxy, Agent, Agent]]:
    """One proxy, and the gateways behind /a/v1 and /b/v1."""
    async with serving() as second:
        first.plays(run("from a"))
        second.plays(run("from b"))
        tables = (
            {"prefix": "/a/v1", "upstream_token": "token-a", "model": {"left": "coder"}},
            {"prefix": "/b/v1", "upstream": second.url, "upstream_token": "token-b", "model": {"right": "writer"}},
        )
        front = await proxy(tables=tables, **settings)
        yield front, first, second
        await second.until(lambda: not second.left_behind)
        await front.hang_up()


def text_of(raw: bytes) -> str:
    return check_body(raw).text


async def test_each_prefix_leads_to_its_gateway_with_its_token_and_models(proxy: StartProxy, agent: Agent) -> None:
    async with two(proxy, agent) as (front, one, other):
        for prefix, gateway, model, app in (("/a/v1", one, "left", "coder"), ("/b/v1", other, "right", "writer")):
            name = prefix[1]
            body = chat_body(model=model)
            received = await front.post(body, path=f"{prefix}/chat/completions")
            assert check_stream(received.body, include_usage=False).text == f"from {name}"
            assert gateway.runs[-1].session.startswith(f"{app}:")
            assert gateway.runs[-1].headers["authorization"] == f"Bearer token-{name}"
            listed = json.loads((await front.get(f"{prefix}/models")).body)["data"]
            assert model in [each["id"] for each in listed]
            completion = json.dumps({"model": model, "prompt": "Hi"}).encode()
            assert json.loads((await front.post(completion, path=f"{prefix}/completions")).body)["choices"]
            assert (await front.get(f"{prefix}/models/{model}")).status == 200
            assert (await front.get(f"{prefix}/diagnostics")).status == 200
        assert len(one.runs) == len(other.runs) == 2


async def test_the_model_of_one_is_not_the_others(proxy: StartProxy, agent: Agent) -> None:
    async with two(proxy, agent) as (front, _, _):
        assert (await front.get("/a/v1/models/right")).status == 404


async def test_a_session_of_the_same_name_is_another_at_each(proxy: StartProxy, agent: Agent) -> None:
    async with two(proxy, agent, session_secret=("the same for all",)) as (front, one, other):
        for prefix in ("/a/v1", "/b/v1"):
            await front.post(chat_body(), path=f"{prefix}/chat/completions", headers={"X-Session-Id": "mine"})
        (first,), (second,) = one.runs, other.runs
        one.kept_sessions.add(first.session)
        other.kept_sessions.add(second.session)
        assert first.session != second.session


async def test_a_gateways_own_limit_is_its_own(proxy: StartProxy, agent: Agent) -> None:
    async with serving() as second:
        agent.plays(run("from a"))
        second.plays(run("from b"))
        tables = ({"prefix": "/a"}, {"prefix": "/b", "upstream": second.url, "max_answer": 2})
        front = await proxy(tables=tables)
        statuses = [
            (await front.post(chat_body(stream=False), path=f"{prefix}/chat/completions")).status
            for prefix in ("/a", "/b")
        ]
        assert statuses[0] == 200
        assert statuses[1] >= 500
        await second.until(lambda: not second.left_behind)
        await front.hang_up()


async def test_keys_are_one_for_all(proxy: StartProxy, agent: Agent) -> None:
    async with two(proxy, agent, api_key=("k",)) as (front, _, _):
        for prefix in ("/a/v1", "/b/v1"):
            path = f"{prefix}/chat/completions"
            assert (await front.post(chat_body(), path=path)).status == 401
            assert (await front.post(chat_body(), path=path, headers={"Authorization": "Bearer k"})).status == 200


async def test_it_is_ready_when_all_are(proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oaicompat_proxy.server.upstream.readiness.CACHE_SECONDS", 0.0)
    async with two(proxy, agent) as (front, _, other):
        assert (await front.get("/readyz")).status == 200
        other.replies("/invoke", answer({"error": "no"}, 401))
        red = await front.get("/readyz")
        assert red.status == 503
        assert json.loads(red.body)["reason"].startswith("/b/v1: ")


@pytest.mark.parametrize(
    ("path", "code"), [("/v1/models", "unknown_url"), ("/a/models", "unknown_url"), ("/b/v1/x", None)]
)
async def test_the_error_of_an_unknown_url_lists_the_paths(
    proxy: StartProxy, agent: Agent, path: str, code: str | None
) -> None:
    async with two(proxy, agent) as (front, _, _):
        received = await front.get(path)
        error = check_error_body(received.body)
        assert (received.status, error["code"]) == (404, code)
        assert "/a/v1/chat/completions" in error["message"]
        assert "/b/v1/models" in error["message"]


async def test_no_gateways_token_is_quoted(proxy: StartProxy, agent: Agent) -> None:
    """A gateway may quote it in an error of its own."""
    async with two(proxy, agent) as (front, _, other):
        other.replies("/send", answer({"error": "token-b is wrong"}, 500))
        received = await front.post(chat_body(), path="/b/v1/chat/completions")
        assert received.status >= 500
        assert b"token-b" not in received.body


async def test_runs_of_all_are_counted_also_those_that_are_refused(proxy: StartProxy, agent: Agent) -> None:
    async with two(proxy, agent, api_key=("k",)) as (front, _, _):
        for prefix in ("/a/v1", "/b/v1"):
            path = f"{prefix}/chat/completions"
            await front.post(chat_body(), path=path)
            await front.post(chat_body(), path=path, headers={"Authorization": "Bearer k"})
        metrics = await scrape(front)
        assert metrics.total("oaicompat_runs_total", outcome="success") == 2
        assert metrics.total("oaicompat_runs_total", outcome="refused") == 2


# What cannot be


def several(*tables: dict[str, Any], **settings: Any) -> SeveralGateways:
    return SeveralGateways(tables=tables, **{"upstream": "http://a", **settings})


@pytest.mark.parametrize(
    ("prefixes", "fault"),
    [
        (("/v1", "/v1"), "/v1 is behind /v1 too"),
        (("/v1", "/v1/b"), "/v1/b is behind /v1 too"),
        (("/v1/b", "/v1"), "/v1/b is behind /v1 too"),
        (("", "/b"), "/b is behind / too"),
    ],
)
def test_no_prefix_is_behind_another(prefixes: tuple[str, ...], fault: str) -> None:
    with pytest.raises(ConfigError, match=f"{fault}$"):
        several(*({"prefix": prefix} for prefix in prefixes))


def test_prefixes_may_begin_alike() -> None:
    assert len(several({"prefix": "/v1"}, {"prefix": "/v10"}, {"prefix": "/v1-b"}).gateways) == 3


@pytest.mark.parametrize(
    ("table", "words"),
    [({"upstream": "ftp://b"}, "gateway 2: --upstream"), ({"prefix": "b"}, "gateway 2: --prefix")],
)
def test_a_faulty_gateway_is_named(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=f"^{words}"):
        several({"prefix": "/a"}, {"prefix": "/b", **table})


def test_the_demo_stands_alone() -> None:
    with pytest.raises(ConfigError, match="--demo"):
        several({"prefix": "/a"}, {"prefix": "/b"}, upstream="", demo=True)


# What of new settings can be in force


def test_a_reload_keeps_what_needs_a_restart_and_says_so() -> None:
    old = several({"prefix": "/a"}, {"prefix": "/b", "max_runs": 3}, port=1)
    new = several({"prefix": "/a", "history": "last"}, {"prefix": "/b", "max_runs": 4}, port=2, keep_alive=3.0)
    config, ignored = merge_reloadable(old, new)
    assert ignored == ["port", "max_runs of /b"]
    assert (config.port, config.keep_alive) == (1, 3.0)
    assert [gateway.history for gateway in config.gateways] == ["last", "auto"]
    assert [gateway.max_runs for gateway in config.gateways] == [10_000, 3]
    assert [gateway.port for gateway in config.gateways] == [1, 1]


@pytest.mark.parametrize("prefixes", [("/a",), ("/b", "/a"), ("/a", "/c"), ("/a", "/b", "/c")])
def test_gateways_come_and_go_at_a_restart_only(prefixes: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="needs a restart"):
        merge_reloadable(
            several({"prefix": "/a"}, {"prefix": "/b"}), several(*({"prefix": prefix} for prefix in prefixes))
        )
