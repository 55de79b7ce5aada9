"""A settings or keys file of any bytes is refused in one log line, and the service goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest

from oaicompat_proxy.config.command_line import load_from_environment
from oaicompat_proxy.config.settings import Config, ConfigError
from oaicompat_proxy.server.access import authenticator as callers
from oaicompat_proxy.server.access.api_keys import digest_of
from oaicompat_proxy.server.process.reload import reload
from tests.support.proxy import StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run

DEEP = b"[" * 5000 + b"]" * 5000
DIGITS = b"9" * 5000
UPSTREAM = b'upstream = "http://127.0.0.1:9"\n'

SETTINGS = {
    "an array of 5,000 levels": b"model = " + DEEP,
    "tables of 5,000 levels": b"[" + b"a." * 5000 + b"a]\n",
    "inline tables of 5,000 levels": b"model = " + b"{a = " * 5000 + b"1" + b"}" * 5000,
    "a number of 5,000 digits": b"max_body = " + DIGITS,
    "a hexadecimal number of 5,000 digits": b"max_body = 0x" + DIGITS,
    "a time of 5,000 digits": b"keep_alive = " + DIGITS + b".5",
    "an endless time": b"keep_alive = inf",
    "no number": b"keep_alive = nan",
    "a time that no clock holds": b"keep_alive = 1e300",
    "a token with a line end": b'upstream_token = "a\\nb"',
    "a token with a carriage return": b'upstream_token = "a\\rInjected: b"',
    "a token of another alphabet": 'upstream_token = "жетон"'.encode(),
    "a token with a space": b'upstream_token = "a b"',
    "a NUL in a path": b'record = "a\\u0000b"',
    "a line end in a prefix": b'prefix = "/a\\nb"',
    "a pattern in a prefix": b'prefix = "/{a"',
    "a host of another alphabet": ('host = "' + "ö" * 300 + '"').encode(),
    "a line end in a key": b'"a\\nERROR: b" = 1',
    "a long key": b"x" * 100_000 + b" = 1",
    "no UTF-8": b"\xff\xfe",
    "nothing but NUL": bytes(1000),
    "more than there can be": b"# " + b"x" * 2_000_000,
    "a date": b"max_body = 1979-05-27",
    "a table in place of a text": b"[cors]\na = 1\n",
}
KEYS = {
    "an array of 5,000 levels": b"keys = " + DEEP,
    "a number of 5,000 digits": b"[keys.a]\nmax_runs = " + DIGITS,
    "a hexadecimal number of 5,000 digits": b"[keys.a]\nmax_runs = 0x" + DIGITS,
    "a name with a line end": b'[keys."a\\nERROR"]\nhash = "x"\n',
    "an unknown setting with a line end": b'[keys.a]\n"x\\nERROR: y" = 1\n',
    "no UTF-8": b"\xff",
    "nothing": b"",
}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_refused_in_one_line(tmp_path: Path, lines: pytest.LogCaptureFixture, name: str) -> None:
    """As at SIGHUP: the settings from before stay."""
    path = tmp_path / "its.toml"
    path.write_bytes(UPSTREAM + SETTINGS[name])
    began = time.process_time()
    assert (
        reload(Config(upstream="http://127.0.0.1:9"), lambda: load_from_environment(path), lambda config: config)
        is None
    )
    assert time.process_time() - began < 2
    (record,) = lines.records
    text = record.getMessage()
    assert text.startswith("configuration not reloaded, keeping the previous one: ")
    assert "could not be read (" not in text, "a fault of ours"
    assert len(text.splitlines()) == 1
    assert len(text) < 2000
    assert record.exc_info is None


@pytest.mark.parametrize("name", KEYS)
async def test_keys_are_refused_in_one_line_and_no_request_fails_for_it(
    proxy: StartProxy, agent: Agent, tmp_path: Path, lines: pytest.LogCaptureFixture, name: str
) -> None:
    agent.plays(run("Hello"))
    path = tmp_path / "keys.toml"
    path.write_text(f'[keys.ada]\nhash = "{digest_of("k").hex()}"\n')
    front = await proxy(api_keys_file=str(path))
    path.write_bytes(KEYS[name])
    await asyncio.sleep(callers.CHECK_INTERVAL)
    for _ in range(2):
        assert (await front.post(chat_body(), headers={"Authorization": "Bearer k"})).status == 200
        assert (await front.post(chat_body(), headers={"Authorization": "Bearer x"})).status == 401
    (record,) = [each for each in lines.records if each.levelno >= logging.ERROR]
    assert len(record.getMessage().splitlines()) == 1
    assert len(record.getMessage()) < 2000
    with pytest.raises(ConfigError):
        callers.Authenticator(Config(upstream="http://127.0.0.1:9", api_keys_file=str(path)))


async def test_reading_10_000_keys_does_not_stop_the_loop(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    path = tmp_path / "keys.toml"
    path.write_text(f'[keys.ada]\nhash = "{digest_of("k").hex()}"\n')
    front = await proxy(api_keys_file=str(path))
    entries = [f'[keys.k{number}]\nhash = "{digest_of(f"key {number}").hex()}"\n' for number in range(10_000)]
    path.write_text("".join(entries))
    await asyncio.sleep(callers.CHECK_INTERVAL)
    asking = asyncio.create_task(front.post(chat_body(), headers={"Authorization": "Bearer key 9999"}))
    turns = 0
    while not asking.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert (await asking).status == 200
    assert turns > 10, "the loop went on while the file was read"
