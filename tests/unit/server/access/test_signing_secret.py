"""Where the secret of all signatures comes from: in one process, in a process tree, in a file, in Redis."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from oaicompat_proxy.config.settings import Config, ConfigError
from oaicompat_proxy.core.signing import Secrets
from oaicompat_proxy.server.access import signing_secret
from oaicompat_proxy.server.access.signing_secret import (
    derive_keys,
    origin_of,
    random_secrets,
    read_or_create,
    secret_in_redis,
    sync_secret,
)
from oaicompat_proxy.server.shared_storage.redis_client import connect
from tests.process.test_cli import environment
from tests.support.processes import Child, free_port
from tests.support.proxy import chat_body
from tests.support.proxy_harness import RedisServer
from tests.support.scripted_gateway import Agent, Reply, run

pytest_plugins = ["tests.support.proxy_fixtures"]

GATEWAY = "http://127.0.0.1:18790"


def newest(**settings: object) -> bytes:
    return derive_keys(Config(**{"upstream": GATEWAY, **settings}), random_secrets()).newest  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({}, "process"),
        ({"redis": "redis://127.0.0.1/0"}, "redis"),
        ({"upstream_token": "t", "redis": "redis://127.0.0.1/0"}, "token"),
        ({"upstream_token": "t", "session_secret": ("s",)}, "setting"),
        ({"upstream_token": "t", "session_secret_file": "/x"}, "file"),
    ],
)
def test_what_is_given_counts_before_what_is_made(settings: dict[str, object], origin: str) -> None:
    assert origin_of(Config(upstream=GATEWAY, **settings)) == origin  # type: ignore[arg-type]


def test_a_token_gives_the_same_secret_to_all_processes() -> None:
    """The same as in earlier releases, so that names outlast an update."""
    made = hashlib.sha256(b"oaicompat-proxy\0" + f"{GATEWAY}\0token".encode()).digest()
    assert newest(upstream_token="token") == made
    assert newest(upstream_token="other") != made


def test_without_one_it_is_of_chance_and_not_made_of_the_address() -> None:
    known = [b"", GATEWAY.encode(), f"{GATEWAY}\0".encode(), b"\0"]
    guesses = [hashlib.sha256(b"oaicompat-proxy\0" + each).digest() for each in known]
    assert newest() not in guesses
    assert newest() == newest(), "one process has one"
    assert newest(upstream="http://127.0.0.1:1") != newest(), "and another for another gateway, even in one Redis"


@pytest.mark.slow
def test_another_process_draws_another_and_its_children_share_it() -> None:
    code = (
        "import os; from oaicompat_proxy.config.settings import Config\n"
        "from oaicompat_proxy.server.access.signing_secret import derive_keys, random_secrets\n"
        f"print(derive_keys(Config(upstream={GATEWAY!r}), random_secrets()).newest.hex(), flush=True)\n"
        "if os.fork(): os.wait()\n"
        f"else: print(derive_keys(Config(upstream={GATEWAY!r}), random_secrets()).newest.hex(), flush=True)\n"
    )
    results = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)
    ]
    (one, child), (other, other_child) = (each.stdout.split() for each in results)
    assert (one, other) == (child, other_child)
    assert len({one, other, newest().hex()}) == 3


def test_old_ones_stand_behind_the_new_one_and_still_read() -> None:
    before = derive_keys(Config(upstream=GATEWAY, session_secret=("old",)), random_secrets())
    after = derive_keys(Config(upstream=GATEWAY, session_secret=("new", "old")), random_secrets())
    assert after.newest != before.newest
    assert after.verify(before.sign("x"), "x")
    assert not before.verify(after.sign("x"), "x")


# A file


def test_a_file_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    made = read_or_create(str(path))
    assert read_or_create(str(path)) == made
    assert re.fullmatch(r"[0-9a-f]{64}\n", path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["secret"], "no draft is left"


@pytest.mark.slow
def test_processes_that_make_it_at_once_make_one(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    code = (
        f"from oaicompat_proxy.server.access.signing_secret import read_or_create; print(read_or_create({str(path)!r}))"
    )
    makers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(4)]
    assert len({maker.communicate()[0] for maker in makers}) == 1
    assert os.listdir(tmp_path) == ["secret"]


def test_each_line_is_a_secret_and_the_first_signs(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text(f"{'n' * 32}\n\n{'o' * 32}\n")
    assert read_or_create(str(path)) == [b"n" * 32, b"o" * 32]


@pytest.mark.parametrize("text", ["", "\n", "short\n", "x" * 32 + "\nshort", "\u00e9" * 32])
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(ConfigError, match="--session-secret-file"):
        newest(session_secret_file=str(path))


def test_one_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "folder", tmp_path):
        with pytest.raises(ConfigError, match="--session-secret-file"):
            newest(session_secret_file=str(path))


def test_a_secret_that_others_can_read_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "secret"
    path.write_text("x" * 32)
    path.chmod(0o644)
    read_or_create(str(path))
    assert "is readable by other users" in caplog.text


# Redis


async def test_all_processes_in_front_of_one_redis_agree(redis_server: RedisServer) -> None:
    async with connect(redis_server.url) as redis:
        one, other = Secrets([b"1" * 64]), Secrets([b"2" * 64])
        await sync_secret(redis, one)
        await sync_secret(redis, other)
        assert one.values[0] == other.values[0] == b"1" * 64
        assert other.values[1:] == (b"2" * 64,), "what it has signed itself still reads"


async def test_a_redis_that_was_emptied_gets_it_again(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_secret, "SYNC_INTERVAL", 0.01)
    async with connect(redis_server.url) as redis:
        one, other = Secrets([b"1" * 64]), Secrets([b"2" * 64])
        async with secret_in_redis(redis, one):
            redis_server.clear()
            async with asyncio.timeout(10):
                while not await redis.exists(signing_secret.REDIS_KEY):  # noqa: ASYNC110 -- Redis has no event for it
                    await asyncio.sleep(0.01)
            await sync_secret(redis, other)
            assert other.values[0] == one.values[0]


async def test_until_redis_answers_a_process_signs_with_its_own(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(signing_secret, "RETRY_INTERVAL", 0.01)
    async with connect(own_redis.url) as redis:
        await redis.set(signing_secret.REDIS_KEY, "9" * 64)
    own_redis.stop()
    async with connect(own_redis.url) as redis:
        secrets = Secrets([b"1" * 64])
        async with secret_in_redis(redis, secrets):
            assert secrets.values == (b"1" * 64,)
            assert "until Redis answers" in caplog.text
            own_redis.start()
            await redis.set(signing_secret.REDIS_KEY, "9" * 64)
            async with asyncio.timeout(10):
                while secrets.values[0] != b"9" * 64:  # noqa: ASYNC110 -- there is no event for it
                    await asyncio.sleep(0.01)
        assert secrets.values[1] == b"1" * 64


# As users start it

ENDS_WITH_IT = "end with this process"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("way", ["none", "file", "token"])
def test_one_line_says_what_ends_with_the_process(tmp_path: Path, workers: int, way: str) -> None:
    more = {"file": ["--session-secret-file", str(tmp_path / "secret")], "token": ["--upstream-token", "t"]}
    command = [sys.executable, "-m", "oaicompat_proxy", "--upstream", GATEWAY, "--port", "0", "--workers", str(workers)]
    child = Child(*command, *more.get(way, []), env=environment())
    try:
        child.wait_for(r"\n  try ")
    finally:
        child.stop()
    assert child.output.count(ENDS_WITH_IT) == (1 if way == "none" else 0)


@pytest.mark.slow
def test_a_gunicorn_of_ones_own_shares_it_and_says_it_once(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "oaicompat_proxy.server.app:factory()", "--workers", "2"]
    command += ["--worker-class", "oaicompat_proxy.server.process.worker.Worker", "--bind", f"127.0.0.1:{port}"]
    child = Child(*command, "--graceful-timeout", "60", env=environment(OAICOMPAT_UPSTREAM=GATEWAY))
    try:
        child.wait_for(r"(?s)Booting worker.*Booting worker")
        child.wait_for(ENDS_WITH_IT)
    finally:
        child.stop()
    assert child.output.count(ENDS_WITH_IT) == 1


@pytest.mark.slow
@pytest.mark.parametrize("reload", [False, True])
async def test_all_workers_give_a_session_the_same_name(agent: Agent, reload: bool) -> None:
    """Also those that take the place of others."""
    agent.replies("/send", Reply(run("Hello")))
    command = [sys.executable, "-m", "oaicompat_proxy", "--upstream", agent.url, "--port", "0", "--workers", "3"]
    child = await asyncio.to_thread(lambda: Child(*command, env=environment()))
    try:
        base = (await asyncio.to_thread(child.wait_for, r"listens on +(\S+)"))[1]
        await asyncio.to_thread(child.wait_for, r"(?s)(Booting worker.*){3}")
        await ask_often(base)
        if reload:
            child.signal(signal.SIGHUP)
            await asyncio.to_thread(child.wait_for, r"(?s)(Booting worker.*){6}")
            await ask_often(base)
        sessions = {each.session for each in agent.runs}
        agent.kept_sessions |= sessions
        assert len(sessions) == 1
    finally:
        await asyncio.to_thread(child.stop)


async def ask_often(base: str) -> None:
    """Each time on a connection of its own, so that every worker has its turn."""
    for _ in range(20):
        async with aiohttp.ClientSession() as client:
            headers = {"X-Session-Id": "harbour"}
            async with client.post(f"{base}/chat/completions", data=chat_body(), headers=headers) as response:
                assert response.status == 200, await response.read()
