"""`replay` as a command: prints, compares, and serves."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.pipeline.comparison import translate
from oaicompat_proxy.recordings.format import Entry, encode_entry, encode_head, read
from tests.support.conformance import check_stream
from tests.support.paths import GOLDEN
from tests.support.processes import Child, stopping
from tests.support.scripted_gateway import run as run_of
from tests.support.scripted_gateway import tool_call

pytestmark = pytest.mark.slow

NATIVE = b"".join(run_of("Hello"))
WITHIN = 20.0


def replay(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "oaicompat_proxy", "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=WITHIN, check=False)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "run.sse"
    path.write_bytes(NATIVE)
    return path


def record(path: Path, answer: bytes) -> Path:
    head = encode_head(AnswerOptions(), masked=False, request_id="r", version="0", private_form=frozenset())
    entries = [Entry(0, "native", NATIVE), Entry(1, "client", answer), Entry(2, "end", b"answered")]
    path.write_bytes(b"".join((head, *map(encode_entry, entries))))
    return path


def test_it_prints_what_a_plain_stream_becomes(plain: Path) -> None:
    done = replay(plain)
    assert (done.returncode, done.stderr) == (0, b"")
    assert check_stream(done.stdout, include_usage=True).text == "Hello"


def test_a_newer_gateways_stream_is_whole_with_the_runs_own_end() -> None:
    """Agentick 0.14 sends nothing behind it."""
    path = GOLDEN / "newer_text.native.sse"
    assert path.read_bytes().count(b'"event":"execution_end"') == 1
    stream = check_stream(replay(path).stdout, include_usage=True)
    assert (stream.finish_reason, stream.error) == ("stop", None)
    assert stream.text


def test_options_of_a_plain_stream_are_given_by_flags(tmp_path: Path) -> None:
    path = tmp_path / "call.sse"
    path.write_bytes(b"".join([*run_of()[:3], *tool_call("c1", "add", "{}"), *run_of()[3:]]))
    stream = check_stream(replay(path, "--tool", "add").stdout, include_usage=True)
    assert stream.tool_calls == [("c1", "add", "{}")]


AG_UI = b"".join(
    b"data: %b\n\n" % json.dumps(event).encode()
    for event in (
        {"type": "RUN_STARTED", "threadId": "t1", "runId": "r0"},
        {"type": "TEXT_MESSAGE_CHUNK", "messageId": "a0", "delta": "Before"},
        {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r0"},
        {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"},
        {"type": "TEXT_MESSAGE_CHUNK", "messageId": "a1", "delta": "Hello"},
        {"type": "TOOL_CALL_CHUNK", "toolCallId": "c1", "toolCallName": "add", "delta": "{}"},
        {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1"},
    )
)


@pytest.mark.parametrize("flags", [[], ["--dialect", "ag-ui"]])
def test_a_stream_of_an_ag_ui_agent_is_known_by_its_first_event(tmp_path: Path, flags: list[str]) -> None:
    path = tmp_path / "run.sse"
    path.write_bytes(AG_UI)
    stream = check_stream(replay(path, *flags, "--tool", "add").stdout, include_usage=True)
    assert (stream.text, stream.tool_calls) == ("Hello", [("c1", "add", "{}")])


def test_a_dialect_that_it_is_not_makes_no_answer_of_it(tmp_path: Path) -> None:
    path = tmp_path / "run.sse"
    path.write_bytes(AG_UI)
    assert b'"error"' in replay(path, "--dialect", "agentick").stdout


def test_it_serves_an_agent(tmp_path: Path) -> None:
    """At any path, and its last run is the one that it was asked for."""
    path = tmp_path / "run.sse"
    path.write_bytes(AG_UI.replace(b": ", b":").replace(b", ", b","))
    command = (sys.executable, "-m", "oaicompat_proxy", "replay", str(path), "--serve", "0", "--pace", "0")
    with stopping(Child(*command)) as child:
        base = child.wait_for(r"http://127\.0\.0\.1:\d+")[0]
        for where in ("/", "/agents/pilot"):
            asked = urllib.request.Request(f"{base}{where}", b'{"threadId":"t7","runId":"r7"}')
            with urllib.request.urlopen(asked, timeout=WITHIN) as response:
                body = response.read()
            assert body.count(b'"runId":"r0"') == body.count(b'"runId":"r7"') == 2


def test_it_prints_what_the_gateway_sent(tmp_path: Path) -> None:
    assert replay(record(tmp_path / "r.jsonl", b""), "--native").stdout == NATIVE


def test_the_same_answer_is_status_0_and_another_1(tmp_path: Path) -> None:
    today = translate(read(NATIVE, AnswerOptions())).data
    assert replay(record(tmp_path / "same.jsonl", today), "--check").returncode == 0
    done = replay(record(tmp_path / "other.jsonl", today.replace(b"Hello", b"Hullo")), "--check")
    assert done.returncode == 1
    assert b"Hullo" in done.stdout


@pytest.mark.parametrize("flags", [["--check"], []])
def test_what_is_no_recording_is_status_2_and_one_line(tmp_path: Path, flags: list[str]) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG")
    done = replay(path, *flags)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"Error: this is neither a recording")


def test_what_holds_no_answer_cannot_be_compared(plain: Path) -> None:
    done = replay(plain, "--check")
    assert done.returncode == 2
    assert b"nothing to compare" in done.stderr


def test_it_serves_a_gateway(plain: Path) -> None:
    command = (sys.executable, "-m", "oaicompat_proxy", "replay", str(plain), "--serve", "0", "--pace", "0")
    with stopping(Child(*command)) as child:
        base = child.wait_for(r"http://127\.0\.0\.1:\d+")[0]
        with urllib.request.urlopen(urllib.request.Request(f"{base}/send", b"{}"), timeout=WITHIN) as response:
            assert response.read() == NATIVE


def test_a_stream_that_no_dialect_recognizes_is_read_as_the_default(tmp_path: Path) -> None:
    path = tmp_path / "run.sse"
    path.write_bytes(b"data: hello\n\n")
    done = replay(path)
    assert done.returncode == 0
    assert b'"error"' in done.stdout
