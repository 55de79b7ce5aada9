"""Small costs that unknown callers could cause: repeated work, stored data and log lines."""

from __future__ import annotations

import asyncio
import errno
import logging
import tracemalloc

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.access.authenticator import CACHE_SIZE, Authenticator
from tests.support.conformance import check_error_body
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import Agent, Reply


@pytest.mark.parametrize("kind", ["text/html" + "x" * 5000, "Injected words: go to evil.example", "a/b c"])
async def test_a_gateways_content_type_is_not_repeated_whole(proxy: StartProxy, agent: Agent, kind: str) -> None:
    agent.replies("/send", Reply([b"hello"], 200, kind, "length"))
    received = await (await proxy()).chat()
    assert received.status == 502
    message = check_error_body(received.body)["message"]
    assert len(message) < 300
    assert "Injected" not in message
    assert "no media type" in message


class Request:
    """As much of one as is looked at."""

    remote = "127.0.0.1"

    def __init__(self, forwarded: str) -> None:
        from multidict import CIMultiDict

        self.headers = CIMultiDict({"X-Forwarded-For": forwarded})


def test_the_address_cache_keeps_no_long_texts() -> None:
    callers = Authenticator(Config(demo=True))
    tracemalloc.start()
    for number in range(2 * CACHE_SIZE):
        forwarded = f"{number}," * 8000 + "203.0.113.9"
        assert callers.address(Request(forwarded)) == "203.0.113.9"  # type: ignore[arg-type]
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2_000_000


async def test_running_out_of_files_is_logged_once(proxy: StartProxy, caplog: pytest.LogCaptureFixture) -> None:
    """asyncio tries again each second, and each time logs the error with a stack trace."""
    await proxy()
    loop = asyncio.get_running_loop()
    for _ in range(5):
        error = OSError(errno.EMFILE, "Too many open files")
        loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error})
    lines = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(lines) == 1
    assert lines[0].exc_info is None
    assert "open files" in lines[0].getMessage()
    loop.call_exception_handler({"message": "something else", "exception": ValueError("x")})
    assert "something else" in caplog.text
