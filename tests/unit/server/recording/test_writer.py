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
from oaicompat_proxy.server.recording.writer import RecordingWriter

SAID = b'data: {"event":"content_delta","data":{"delta":"Bob"}}\n\n'


def new_writer(
    directory: Path, *, most: int = 100_000, masked: bool = False, request_id: str = "req_1"
) -> RecordingWriter:
    began = asyncio.get_running_loop().time()
    return RecordingWriter(
        opened(directory), COMPLETIONS, max_bytes=most, masked=masked, request_id=request_id, began=began
    )


def opened(directory: Path) -> RecordingDirectory:
    return open_directory(directory, total=1_000_000)


def record_nothing(directory: Path, request_id: str = "req_1") -> None:
    writer = new_writer(directory, request_id=request_id)
    writer.begin(AnswerOptions())
    writer.end("answered")


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
    writer = new_writer(tmp_path)
    writer.gateway_bytes(SAID)
    writer.body(404, b"{}")
    writer.end("failed")
    assert files(tmp_path) == []


async def test_what_came_is_written_at_once(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    writer.begin(AnswerOptions(model="owl"))
    writer.gateway_bytes(SAID)
    writer.client_bytes(b"data: 1\n\n")
    written = what_is_written(tmp_path)
    assert written.options.model == "owl"
    assert [(each.kind, each.data) for each in written.entries] == [("native", SAID), ("client", b"data: 1\n\n")]
    assert 0 <= written.entries[0].ms <= written.entries[1].ms < 10_000
    writer.end("answered")
    assert what_is_written(tmp_path).entries[-1].data == b"answered"


async def test_nothing_is_written_behind_the_end(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    writer.begin(AnswerOptions())
    writer.end("the client left")
    before = the_file(tmp_path).read_bytes()
    writer.gateway_bytes(SAID)
    writer.end("answered")
    assert the_file(tmp_path).read_bytes() == before


async def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    record_nothing(tmp_path)
    assert stat.S_IMODE(the_file(tmp_path).stat().st_mode) == 0o600


@pytest.mark.parametrize("request_id", ["req_1", "../../etc/passwd", "a/b", "x" * 128, "a:b=c@d", "."])
async def test_no_request_id_leads_out_of_the_directory(tmp_path: Path, request_id: str) -> None:
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
    writer = new_writer(tmp_path, masked=True)
    writer.begin(AnswerOptions(form={"echo": "Bob"}))
    writer.gateway_bytes(SAID[:-4])
    assert what_is_written(tmp_path).entries == []
    writer.gateway_bytes(SAID[-4:] + b"data: Bob")
    writer.body(200, b'{"choices":[{"text":"Bob"}]}')
    writer.end("answered")
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
    writer = new_writer(tmp_path, most=1000, masked=masked)
    writer.begin(AnswerOptions())
    for _ in range(100):
        writer.gateway_bytes(line)
    writer.end("answered")
    assert the_file(tmp_path).stat().st_size <= 1000
    assert [record.getMessage() for record in caplog.records] == ["req_1: the recording ends early: it is too long"]


async def test_a_disk_that_fails_ends_the_recording_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = new_writer(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    writer.begin(AnswerOptions())
    writer.gateway_bytes(SAID)
    writer.end("answered")
    writer.end("answered")
    opened(tmp_path / "gone").wait()
    assert [record.getMessage() for record in caplog.records] == [
        "req_1: the recording ends early: No such file or directory"
    ]


async def test_a_full_disk_ends_the_recording_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = new_writer(tmp_path)
    writer.begin(AnswerOptions())
    opened(tmp_path).wait()
    monkeypatch.setattr(os, "write", fail_as_a_full_disk)
    writer.gateway_bytes(SAID)
    writer.gateway_bytes(SAID)
    opened(tmp_path).wait()
    assert caplog.text.count("No space left on device") == 1


def fail_as_a_full_disk(number: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_disk_that_is_too_slow_ends_the_recording_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slow = threading.Event()
    writer = new_writer(tmp_path, most=10 * MAX_QUEUED)
    opened(tmp_path).submit(MAX_QUEUED - 10_000, slow.wait)
    writer.begin(AnswerOptions())
    for _ in range(1000):
        writer.gateway_bytes(SAID)
    writer.end("answered")
    slow.set()
    assert len(what_is_written(tmp_path).bytes_of("native")) < 10_000
    assert caplog.text.count("the disk is too slow") == 1


async def test_a_token_that_the_gateway_quotes_is_not_kept(tmp_path: Path) -> None:
    writer = RecordingWriter(
        opened(tmp_path), COMPLETIONS, max_bytes=10_000, masked=True, request_id="r", began=0, secret=b"s3cr3t"
    )
    writer.begin(AnswerOptions())
    writer.gateway_bytes(b'data: {"event":"error","data":{"error":"who is s3c')
    writer.gateway_bytes(b'r3t?"}}\n\n')
    writer.body(502, b'{"error":{"message":"who is s3cr3t?"}}')
    writer.end("failed")
    assert b"s3cr3t" not in the_file(tmp_path).read_bytes()
    assert b"who is [redacted]?" in what_is_written(tmp_path).bytes_of("native")
