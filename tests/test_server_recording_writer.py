"""One recording on a real disk: private, bounded, written at once, and never in the way of an answer."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
import threading
from pathlib import Path

import pytest

from oaicompat_proxy.api.openai.completions.api import COMPLETIONS
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.recordings.format import Recording, read
from oaicompat_proxy.server.recording.directory import MAX_QUEUED, NAME, RecordingDirectory, open_directory
from oaicompat_proxy.server.recording.writer import Scribe

SAID = b'data: {"event":"content_delta","data":{"delta":"Bob"}}\n\n'


def new_scribe(directory: Path, *, most: int = 100_000, masked: bool = False, request_id: str = "req_1") -> Scribe:
    began = asyncio.get_running_loop().time()
    return Scribe(opened(directory), COMPLETIONS, most=most, masked=masked, request_id=request_id, began=began)


def opened(directory: Path) -> RecordingDirectory:
    return open_directory(directory, total=1_000_000)


def record_nothing(directory: Path, request_id: str = "req_1") -> None:
    scribe = new_scribe(directory, request_id=request_id)
    scribe.begin(AnswerOptions())
    scribe.end("answered")


def files(directory: Path) -> list[Path]:
    """When all that was handed on is written."""
    opened(directory).wait()
    return [*directory.iterdir()]


def the_file(directory: Path) -> Path:
    (path,) = files(directory)
    return path


def what_is_written(directory: Path) -> Recording:
    return read(the_file(directory).read_bytes())


async def test_a_request_without_a_run_leaves_no_file(tmp_path: Path) -> None:
    scribe = new_scribe(tmp_path)
    scribe.native(SAID)
    scribe.body(404, b"{}")
    scribe.end("failed")
    assert files(tmp_path) == []


async def test_what_came_is_written_at_once(tmp_path: Path) -> None:
    scribe = new_scribe(tmp_path)
    scribe.begin(AnswerOptions(model="owl"))
    scribe.native(SAID)
    scribe.client(b"data: 1\n\n")
    written = what_is_written(tmp_path)
    assert written.options.model == "owl"
    assert [(each.kind, each.data) for each in written.entries] == [("native", SAID), ("client", b"data: 1\n\n")]
    assert 0 <= written.entries[0].ms <= written.entries[1].ms < 10_000
    scribe.end("answered")
    assert what_is_written(tmp_path).entries[-1].data == b"answered"


async def test_nothing_is_written_behind_the_end(tmp_path: Path) -> None:
    scribe = new_scribe(tmp_path)
    scribe.begin(AnswerOptions())
    scribe.end("the client left")
    before = the_file(tmp_path).read_bytes()
    scribe.native(SAID)
    scribe.end("answered")
    assert the_file(tmp_path).read_bytes() == before


async def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    record_nothing(tmp_path)
    assert stat.S_IMODE(the_file(tmp_path).stat().st_mode) == 0o600


@pytest.mark.parametrize("request_id", ["req_1", "../../etc/passwd", "a/b", "x" * 128, "a:b=c@d", "."])
async def test_whatever_a_client_calls_its_request_the_file_lies_in_the_directory(
    tmp_path: Path, request_id: str
) -> None:
    directory = tmp_path / "deep" / "er"
    directory.mkdir(parents=True)
    record_nothing(directory, request_id)
    assert NAME.fullmatch(the_file(directory).name)
    assert what_is_written(directory).request_id == request_id


async def test_two_of_the_same_name_are_two(tmp_path: Path) -> None:
    for _ in range(2):
        record_nothing(tmp_path)
    assert len(files(tmp_path)) == 2


async def test_masked_lines_are_written_when_they_are_whole(tmp_path: Path) -> None:
    scribe = new_scribe(tmp_path, masked=True)
    scribe.begin(AnswerOptions(form={"echo": "Bob"}))
    scribe.native(SAID[:-4])
    assert what_is_written(tmp_path).entries == []
    scribe.native(SAID[-4:] + b"data: Bob")
    scribe.body(200, b'{"choices":[{"text":"Bob"}]}')
    scribe.end("answered")
    written = what_is_written(tmp_path)
    assert b"Bob" not in the_file(tmp_path).read_bytes()
    assert written.bytes_of("native") == SAID.replace(b"Bob", b"xxx") + b"data: xxx"
    assert written.bytes_of("body") == b'{"choices":[{"text":"xxx"}]}'
    assert written.masked


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("line", [SAID, b"x" * 50], ids=["whole lines", "one endless line"])
async def test_a_recording_has_a_largest_size(
    tmp_path: Path, masked: bool, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    scribe = new_scribe(tmp_path, most=1000, masked=masked)
    scribe.begin(AnswerOptions())
    for _ in range(100):
        scribe.native(line)
    scribe.end("answered")
    assert the_file(tmp_path).stat().st_size <= 1000
    assert [record.getMessage() for record in caplog.records] == ["req_1: the recording ends early: it is too long"]


async def test_a_disk_that_fails_ends_the_recording_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scribe = new_scribe(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    scribe.begin(AnswerOptions())
    scribe.native(SAID)
    scribe.end("answered")
    scribe.end("answered")
    opened(tmp_path / "gone").wait()
    assert [record.getMessage() for record in caplog.records] == [
        "req_1: the recording ends early: No such file or directory"
    ]


async def test_a_full_disk_ends_the_recording_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    scribe = new_scribe(tmp_path)
    scribe.begin(AnswerOptions())
    opened(tmp_path).wait()
    monkeypatch.setattr(os, "write", fail_as_a_full_disk)
    scribe.native(SAID)
    scribe.native(SAID)
    opened(tmp_path).wait()
    assert caplog.text.count("No space left on device") == 1


def fail_as_a_full_disk(number: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_disk_that_is_too_slow_ends_the_recording_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slow = threading.Event()
    scribe = new_scribe(tmp_path, most=10 * MAX_QUEUED)
    opened(tmp_path).submit(MAX_QUEUED - 10_000, slow.wait)
    scribe.begin(AnswerOptions())
    for _ in range(1000):
        scribe.native(SAID)
    scribe.end("answered")
    slow.set()
    assert len(what_is_written(tmp_path).bytes_of("native")) < 10_000
    assert caplog.text.count("the disk is too slow") == 1


async def test_a_token_that_the_gateway_quotes_is_not_kept(tmp_path: Path) -> None:
    scribe = Scribe(opened(tmp_path), COMPLETIONS, most=10_000, masked=True, request_id="r", began=0, secret=b"s3cr3t")
    scribe.begin(AnswerOptions())
    scribe.native(b'data: {"event":"error","data":{"error":"who is s3c')
    scribe.native(b'r3t?"}}\n\n')
    scribe.body(502, b'{"error":{"message":"who is s3cr3t?"}}')
    scribe.end("failed")
    assert b"s3cr3t" not in the_file(tmp_path).read_bytes()
    assert b"who is [redacted]?" in what_is_written(tmp_path).bytes_of("native")
