from __future__ import annotations

import socket

import aiohttp
import pytest

from oaicompat_proxy.commands.connection_failure import describe


async def failure(url: str) -> Exception:
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientError) as caught:
            await client.get(url)
    return caught.value


async def test_a_port_without_a_listener_is_named() -> None:
    with socket.socket() as bound:  # nobody else gets the port meanwhile
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        said = describe(await failure(f"http://127.0.0.1:{port}/v1"))
    assert said == f"no connection to 127.0.0.1:{port} (Connection refused); is the proxy running there?"


async def test_an_unknown_name_is_no_system_error() -> None:
    said = describe(await failure("http://gateway.invalid/v1"))
    assert said.startswith("no connection to gateway.invalid:80 (")
    assert "ssl" not in said


def test_another_failure_has_its_own_words() -> None:
    assert describe(ValueError("it is no JSON")) == "it is no JSON"
    assert describe(TimeoutError()) == "no answer in time"
