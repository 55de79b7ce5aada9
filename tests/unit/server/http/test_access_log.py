"""The line that is logged for each request that is no run, and what never stands in it."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from oaicompat_proxy.server.http.access_log import MAX_FIELD
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import Agent, run

NAME = "oaicompat_proxy.access"


async def line_of(caplog: pytest.LogCaptureFixture) -> str:
    """The one line of a request; it is written just after the client has its answer."""
    written = asyncio.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.set()

    listener = Listener()
    logging.getLogger(NAME).addHandler(listener)
    try:
        async with asyncio.timeout(5):
            while not lines(caplog):
                await written.wait()
    finally:
        logging.getLogger(NAME).removeHandler(listener)
    (line,) = lines(caplog)
    return line


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == NAME]


async def test_a_line_says_which_request_it_was_and_how_it_went(
    proxy: StartProxy, caplog: pytest.LogCaptureFixture
) -> None:
    front = await proxy()
    with caplog.at_level(logging.INFO, logger=NAME):
        received = await front.get("/healthz")
        line = await line_of(caplog)
    pattern = r"(req_\w+) 127\.0\.0\.1 - GET /healthz 200 (\d+) \d+\.\d{3}"
    found = re.fullmatch(pattern, line)
    assert found is not None, line
    assert found[1] == received.headers["x-request-id"]
    assert int(found[2]) >= len(received.body)


async def test_keys_and_prompts_do_not_stand_in_it(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    with caplog.at_level(logging.INFO, logger=NAME):
        await front.post(
            b'{"prompt": "s3cr3t"}', headers={"Authorization": "Bearer s3cr3t"}, path="/v1/nope?key=s3cr3t"
        )
    line = await line_of(caplog)
    assert " /v1/* 404 " in line
    assert "s3cr3t" not in line


@pytest.mark.parametrize(
    ("method", "path", "shown"),
    [
        ("GET", "/v1/s3cr3t/models", "/v1/*/models"),
        ("POST", "/s3cr3t/v1/chat/completions", "/*/v1/chat/completions"),
        ("POST", "/v1/models/s3cr3t", "/v1/models/*"),
        ("GET", "/v1%2Fs3cr3t", "/*"),
        ("GET", "/v1/embeddings", "/v1/embeddings"),
        ("GET", "/v1/responses/resp_1", "/v1/responses/resp_1"),
    ],
)
async def test_only_known_words_of_unserved_paths_are_shown(
    proxy: StartProxy, caplog: pytest.LogCaptureFixture, method: str, path: str, shown: str
) -> None:
    front = await proxy()
    with caplog.at_level(logging.INFO, logger=NAME):
        await front.request(method, path)
    assert f" {method} {shown} 40" in await line_of(caplog)


async def test_a_line_is_short_whatever_was_sent(proxy: StartProxy, caplog: pytest.LogCaptureFixture) -> None:
    front = await proxy()
    with caplog.at_level(logging.INFO, logger=NAME):
        await front.request("GET", "/v1/responses/" + "x" * 8000, headers={"x-request-id": "y" * 8000})
    line = await line_of(caplog)
    assert f" /v1/responses/{'x' * (MAX_FIELD - 14)} 404 " in line
    assert len(line) < 2 * MAX_FIELD


async def test_nothing_is_made_of_it_when_nobody_listens(proxy: StartProxy, caplog: pytest.LogCaptureFixture) -> None:
    front = await proxy()
    with caplog.at_level(logging.WARNING, logger=NAME):
        await front.get("/healthz")
    assert lines(caplog) == []


async def test_a_run_has_its_own_line_instead(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    with caplog.at_level(logging.INFO):
        await front.chat()
        await front.chat(stream=False)
        await front.get("/healthz")
        assert " /healthz " in await line_of(caplog)
    assert [record.name for record in caplog.records].count("oaicompat_proxy.runs") == 2
