"""The command as users start it: its output, its errors, its exit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from oaicompat_proxy import __version__
from oaicompat_proxy.config.settings import SETTINGS, flag
from oaicompat_proxy.core.build import FORM
from oaicompat_proxy.server.process.serve import EXIT_INTERRUPTED
from tests.support.conformance import check_stream
from tests.support.scripted_gateway import Agent

COMMAND = str(Path(sys.executable).parent / "oaicompat-proxy")
WITHIN = 30.0
"""Seconds for a process to start, answer or end on a busy machine."""


def environment(**more: str) -> dict[str, str]:
    """Ours, without settings of the proxy that a developer may have."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OAICOMPAT_")}
    return {**kept, **more}


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that is expected to end by itself. `more`: environment."""
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=WITHIN, env=environment(**more), check=False
    )


class Running:
    """A command that serves."""

    def __init__(self, process: subprocess.Popen[str], introduction: str) -> None:
        self.process = process
        self.introduction = introduction
        self.base = re.findall(r"listens on +(\S+)", introduction)[0]

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(self.base + path, timeout=WITHIN) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def end_with(self, signum: signal.Signals) -> int:
        self.process.send_signal(signum)
        return self.process.wait(WITHIN)


@contextlib.contextmanager
def started(*arguments: str, **more: str) -> Iterator[Running]:
    """`more`: environment."""
    with subprocess.Popen(
        [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment(**more)
    ) as process:
        try:
            assert process.stdout is not None
            output = ""
            while "\n  try " not in output:
                line = process.stdout.readline()
                assert line, f"it ended, and said only: {output}"
                output += line
            yield Running(process, output)
        finally:
            process.kill()


# What it says


def test_help_names_every_setting_and_its_reason() -> None:
    result = run("--help", "all")
    words = " ".join(result.stdout.split())
    assert (result.returncode, result.stderr) == (0, "")
    for each in SETTINGS:
        assert f" {flag(each.name)} " in words, each.name
        assert " ".join(each.metadata["help"].split()[:4]) in words, each.name


def test_help_has_a_short_name() -> None:
    assert run("-h").stdout == run("--help").stdout


def test_help_names_the_commands_beside_the_server() -> None:
    output = run("--help").stdout
    for command in ("chat", "completion", "config", "doctor", "forget", "replay", "usage"):
        assert re.search(rf"^  {command} +[A-Z]", output, re.MULTILINE), command
        assert run(command, "--help").returncode == 0


def test_serving_loads_nothing_for_the_terminal() -> None:
    look = "import sys, oaicompat_proxy.cli; print([name for name in sys.modules if name.startswith('rich')])"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_version() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout.strip()) == (0, f"oaicompat-proxy, version {__version__} ({FORM})")


def test_the_introduction_says_what_a_newcomer_needs() -> None:
    with started("--demo", "--port", "0") as running:
        assert __version__ in running.introduction
        assert "the demo agent" in running.introduction
        assert re.search(r"models +demo, echo, nostream, default", running.introduction)
        assert running.get("/models")[0] == 200


@pytest.mark.parametrize("wire", ["0.9", "0.14"])
def test_the_line_to_try_works_as_it_stands(wire: str) -> None:
    with started("--demo", "--wire", wire, "--port", "0") as running:
        line = re.findall(r"^ *try +(.*)$", running.introduction, re.MULTILINE)[0]
        result = subprocess.run(["bash", "-c", line], capture_output=True, timeout=WITHIN, check=True)
    assert check_stream(result.stdout, include_usage=False).text


def test_an_introduction_never_shows_a_secret(closed_port: int) -> None:
    with started(
        "--upstream", f"http://127.0.0.1:{closed_port}", "--upstream-token", "s3cr3t", "--port", "0"
    ) as running:
        assert "s3cr3t" not in running.introduction


def test_it_starts_without_its_gateway_and_says_so(closed_port: int) -> None:
    with started("--upstream", f"http://127.0.0.1:{closed_port}", "--port", "0") as running:
        assert "cannot be reached; is it running? (Connection refused)" in running.introduction
        assert running.get("/models")[0] == 502


# Flags and environment


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--demo", "--port", "0", "--prefix", "/api", "--model", "gpt-4o=echo", "--model", "mini="], {}),
        (
            [],
            {
                "OAICOMPAT_DEMO": "1",
                "OAICOMPAT_PORT": "0",
                "OAICOMPAT_PREFIX": "/api",
                "OAICOMPAT_MODEL": "gpt-4o=echo mini=",
            },
        ),
        (
            ["--prefix", "/api", "--model", "gpt-4o=echo", "--model", "mini="],
            {"OAICOMPAT_DEMO": "true", "OAICOMPAT_PORT": "0", "OAICOMPAT_PREFIX": "/lost", "OAICOMPAT_MODEL": "lost=x"},
        ),
    ],
    ids=["flags", "environment", "flags win"],
)
def test_settings_come_from_flags_and_environment(arguments: list[str], variables: dict[str, str]) -> None:
    with started(*arguments, **variables) as running:
        assert running.base.endswith("/api")
        assert re.search(r"models +gpt-4o, mini, demo, echo", running.introduction)


async def test_the_gateway_may_be_named_in_the_environment(agent: Agent) -> None:
    def look() -> str:
        variables = {"OAICOMPAT_UPSTREAM": agent.url, "OAICOMPAT_UPSTREAM_TOKEN": "s3cr3t"}
        with started("--port", "0", **variables) as running:
            return running.introduction

    introduction = await asyncio.to_thread(look)
    assert agent.url in introduction
    assert agent.exchanges[0].headers["authorization"] == "Bearer s3cr3t"


def test_it_listens_on_the_loopback_alone_by_default() -> None:
    with started("--demo", "--port", "0") as running:
        assert running.base.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("0.0.0.0", "127.0.0.1"), ("localhost", "localhost")])
def test_the_introduction_shows_an_address_that_can_be_called(host: str, shown: str) -> None:
    with started("--demo", "--port", "0", "--host", host, "--no-auth") as running:
        assert running.base.startswith(f"http://{shown}:")
        assert running.get("/models")[0] == 200


def test_a_file_is_overridden_by_the_environment_and_both_by_flags(tmp_path: Path) -> None:
    file = tmp_path / "its.toml"
    file.write_text('demo = true\nport = 70\nprefix = "/file"\nhost = "localhost"\n[model]\nours = "echo"\n')
    variables = {"OAICOMPAT_CONFIG": str(file), "OAICOMPAT_PORT": "71", "OAICOMPAT_PREFIX": "/variable"}
    with started("--port", "0", **variables) as running:
        assert re.fullmatch(r"http://localhost:\d+/variable", running.base)
        assert re.search(r"models +ours, demo", running.introduction)


def test_the_usual_file_is_read_where_it_is_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "oaicompat.toml").write_text("demo = true\nport = 99999\n")
    monkeypatch.chdir(tmp_path)
    result = run()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Error: oaicompat.toml, line 2: port must be at most 65535, not 99999\n"
    (tmp_path / "oaicompat.toml").write_text("demo = true\nport = 0\n")
    with subprocess.Popen(
        [COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as it:
        assert it.stdout is not None
        assert it.stderr is not None
        while "  try " not in it.stdout.readline():
            pass
        it.terminate()
        assert "settings are read from oaicompat.toml\n" in it.stderr.read()


def test_a_faulty_file_is_no_hindrance_for_what_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "oaicompat.toml").write_text("=")
    monkeypatch.chdir(tmp_path)
    assert run("--version").returncode == 0
    assert run("config", "example").returncode == 0
    assert run("--demo").returncode == 2


# What it refuses


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--upstream", "--demo"]),
        (["--demo", "--upstream", "http://127.0.0.1:1"], ["--upstream", "--demo"]),
        (["--upstream", "gateway:18790"], ["--upstream", "http://", "gateway:18790"]),
        (["--upstream", "ftp://gateway"], ["--upstream", "http://"]),
        (["--upstream", "http://"], ["--upstream"]),
        (["--upstream", "http://gateway:port"], ["--upstream"]),
        (["--upstream", "http://gateway/?a=b"], ["--upstream", "?"]),
        (["--demo", "--model", "nothing"], ["--model", "NAME=APP"]),
        (["--demo", "--model", "=app"], ["--model"]),
        (["--demo", "--port", "70000"], ["--port", "65535"]),
        (["--demo", "--port", "web"], ["--port", "web"]),
        (["--demo", "--prefix", "v1"], ["--prefix", "/"]),
        (["--demo", "--first-event-wait", "-1"], ["--first-event-wait"]),
        (["--demo", "--reasoning-field", "thoughts"], ["--reasoning-field", "thoughts"]),
        (["--demo", "--no-such-flag"], ["--no-such-flag"]),
        (["--demo", "surplus"], ["surplus"]),
        (["--demo", "--host", "0.0.0.0"], ["0.0.0.0", "--api-key", "--no-auth"]),
        (["--demo", "--no-auth", "--api-key", "k"], ["--no-auth"]),
        (["--demo", "--api-key", "k", "--api-key", "k"], ["key-1", "key-2"]),
        (["--demo", "--api-keys-file", "/nowhere/keys.toml"], ["--api-keys-file", "/nowhere/keys.toml"]),
        (["--demo", "--trusted-proxy", "nginx"], ["--trusted-proxy", "nginx"]),
        (["--new-key", "a b"], ["--new-key"]),
        (["--config", "/nowhere/its.toml"], ["/nowhere/its.toml", "No such file"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_is_refused_in_one_line(arguments: list[str], words: list[str]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    *_, last = result.stderr.strip().splitlines()
    assert last.startswith("Error: ")
    assert [word for word in words if word not in last] == []
    assert "Traceback" not in result.stderr


def test_a_bad_variable_is_refused_too() -> None:
    result = run("--demo", OAICOMPAT_PORT="web")
    assert result.returncode == 2
    assert "OAICOMPAT_PORT in the environment" in result.stderr


def test_a_variable_that_is_no_setting_is_a_warning(tmp_path: Path) -> None:
    result = run("--demo", "--unix-socket", str(tmp_path / "nowhere" / "socket"), OAICOMPAT_LOGLEVEL="debug")
    assert "OAICOMPAT_LOGLEVEL, and there is no such setting; did you mean OAICOMPAT_LOG_LEVEL?\n" in result.stderr


def test_a_taken_port_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("--demo", "--port", port)
    assert (result.returncode, result.stdout) == (2, "")
    *_, last = result.stderr.strip().splitlines()
    assert last.startswith("Error: ")
    assert port in last
    assert "Traceback" not in result.stderr


# Keys


def test_a_new_key_opens_the_proxy_and_is_written_nowhere(tmp_path: Path) -> None:
    result = run("--new-key", "ada")
    assert result.returncode == 0
    key = result.stderr.split()[-1]
    assert re.fullmatch(r"sk-[\w-]{43}", key)
    assert key not in result.stdout
    file = tmp_path / "keys.toml"
    file.write_text(result.stdout + run("--new-key", "bob").stdout)
    with started("--demo", "--port", "0", "--api-keys-file", str(file)) as running:
        assert running.get("/models")[0] == 401
        line = re.findall(r"^ *try +(.*)$", running.introduction, re.MULTILINE)[0]
        assert key not in running.introduction
        command = line.replace("YOUR_KEY", key)
        answer = subprocess.run(["bash", "-c", command], capture_output=True, timeout=WITHIN, check=True)
    assert check_stream(answer.stdout, include_usage=False).text


def test_two_new_keys_are_two() -> None:
    assert run("--new-key", "ada").stdout != run("--new-key", "ada").stdout


def test_keys_come_from_the_environment() -> None:
    with started("--demo", "--port", "0", OAICOMPAT_API_KEY="one two") as running:
        assert running.get("/models")[0] == 401
        for key, status in (("one", 200), ("two", 200), ("one two", 401)):
            request = urllib.request.Request(running.base + "/models", headers={"Authorization": f"Bearer {key}"})
            with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=WITHIN) as answer:
                assert answer.status == status
                continue
            assert status == 401


@pytest.mark.parametrize(("host", "warns"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_it_warns_once_that_anybody_may_call(host: str, warns: bool) -> None:
    command = [COMMAND, "--demo", "--port", "0", "--host", host, "--no-auth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as it:
        assert it.stdout is not None
        assert it.stderr is not None
        while "\n  try " not in "\n" + it.stdout.readline():
            pass
        it.terminate()
        assert it.stderr.read().count("--no-auth") == warns


# How it ends


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(signum: signal.Signals) -> None:
    with started("--demo", "--port", "0") as running:
        assert running.end_with(signum) == 0


def test_an_answer_that_is_under_way_is_finished_first() -> None:
    with started("--demo", "--port", "0") as running:
        line = re.findall(r"^ *try +(.*)$", running.introduction, re.MULTILINE)[0]
        with subprocess.Popen(["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as asking:
            assert asking.stdout is not None
            begun = asking.stdout.readline()
            running.process.send_signal(signal.SIGTERM)
            raw = begun + asking.stdout.read()
        assert running.process.wait(WITHIN) == 0
    assert check_stream(raw, include_usage=False).finish_reason == "stop"


def test_answers_that_take_too_long_are_not_waited_for() -> None:
    with started("--demo", "--port", "0", "--drain-timeout", "0.1", "--first-event-wait", "0") as running:
        body = '{"messages": [{"role": "user", "content": "[[scenario:silent]]"}], "stream": true}'
        ask = ["curl", "-sN", f"{running.base}/chat/completions", "-d", body]
        with subprocess.Popen(ask, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as asking:
            assert asking.stdout is not None
            asking.stdout.readline()
            assert running.end_with(signal.SIGTERM) == EXIT_INTERRUPTED
            assert b'"code":"answer_cut"' in asking.stdout.read()
