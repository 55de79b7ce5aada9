"""Many recordings in one directory: bounded together, the running ones untouched, and no work in the event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from oaicompat_proxy.server.recording import directory as recording_directory
from oaicompat_proxy.server.recording.directory import NoRoom, RecordingDirectory, RecordingFile, open_directory

LOCKED = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def name(number: int) -> str:
    return f"20260101T0000{number // 1000:02d}.{number % 1000:03d}Z-req-{number}.jsonl"


def write(directory: RecordingDirectory, number: int, size: int) -> RecordingFile:
    file = directory.create(name(number))
    directory.append(file, b"x" * size)
    return file


def sizes(path: Path) -> dict[str, int]:
    return {each.name: each.stat().st_size for each in sorted(path.iterdir())}


@pytest.mark.slow
def test_the_oldest_make_room_for_one_that_grows(tmp_path: Path) -> None:
    directory = RecordingDirectory(tmp_path, total=1000)
    for number in range(3):
        directory.close(write(directory, number, 300))
    file = write(directory, 3, 50)
    assert len(sizes(tmp_path)) == 4
    for grown in range(100, 1001, 50):
        directory.append(file, b"x" * 50)
        assert sum(sizes(tmp_path).values()) <= 1000
        assert sizes(tmp_path)[name(3)] == grown
    assert sizes(tmp_path) == {name(3): 1000}


@pytest.mark.slow
def test_one_that_runs_is_never_deleted(tmp_path: Path) -> None:
    directory = RecordingDirectory(tmp_path, total=1000)
    running = write(directory, 0, 600)
    later = write(directory, 1, 300)
    with pytest.raises(NoRoom):
        directory.append(later, b"x" * 200)
    assert sizes(tmp_path) == {name(0): 600, name(1): 300}
    directory.close(running)
    directory.append(later, b"x" * 200)
    assert sizes(tmp_path) == {name(1): 500}


def test_one_that_another_process_writes_is_never_deleted(tmp_path: Path) -> None:
    first = RecordingDirectory(tmp_path, total=1000)
    for number in range(2):
        first.close(write(first, number, 400))
    arguments = [sys.executable, "-c", LOCKED, str(tmp_path / name(0))]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        directory = RecordingDirectory(tmp_path, total=1000)
        directory.close(write(directory, 2, 600))
        assert sizes(tmp_path) == {name(0): 400, name(2): 600}
        other.communicate()
    directory = RecordingDirectory(tmp_path, total=1000)
    directory.close(write(directory, 3, 400))
    assert sizes(tmp_path) == {name(2): 600, name(3): 400}


def test_what_is_no_recording_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"x" * 5000)
    directory = RecordingDirectory(tmp_path, total=1000)
    directory.close(write(directory, 0, 900))
    directory.close(write(directory, 1, 900))
    assert sizes(tmp_path) == {name(1): 900, "notes.txt": 5000}


def test_what_somebody_else_deleted_is_found_out(tmp_path: Path) -> None:
    directory = RecordingDirectory(tmp_path, total=1000)
    directory.close(write(directory, 0, 900))
    (tmp_path / name(0)).unlink()
    directory.close(write(directory, 1, 900))
    assert sizes(tmp_path) == {name(1): 900}


def test_the_directory_is_not_looked_through_for_each_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[object] = []
    scandir = recording_directory.os.scandir
    monkeypatch.setattr(recording_directory.os, "scandir", lambda path: scans.append(path) or scandir(path))
    directory = RecordingDirectory(tmp_path, total=1_000_000)
    for number in range(200):
        directory.close(write(directory, number, 100))
    assert len(scans) == 1


async def test_work_is_done_in_order_beside_the_loop(tmp_path: Path) -> None:
    directory = RecordingDirectory(tmp_path, total=1000)
    go, done = threading.Event(), []
    threads = []
    directory.submit(0, go.wait)
    for number in range(100):
        directory.submit(0, lambda number=number: done.append(number))  # type: ignore[misc]
    directory.submit(0, lambda: threads.append(threading.current_thread()))
    await asyncio.sleep(0)
    assert done == []
    go.set()
    directory.wait()
    assert done == list(range(100))
    assert threads != [threading.current_thread()]


async def test_a_fault_in_one_recording_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = RecordingDirectory(tmp_path, total=1000)
    done: list[int] = []
    directory.submit(0, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    directory.submit(0, lambda: done.append(1))
    directory.wait()
    assert done == [1]
    assert "could not be written" in caplog.text


def test_a_path_has_one_directory_in_a_process(tmp_path: Path) -> None:
    first = open_directory(tmp_path / "a", total=1000)
    assert open_directory(tmp_path / "a", total=2000) is first
    assert first.total == 2000
    assert open_directory(tmp_path / "b", total=1000) is not first
