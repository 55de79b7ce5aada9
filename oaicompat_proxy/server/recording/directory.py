"""The directory of recordings: one thread does all file operations, and the oldest recordings are deleted to make room.

An index in memory has the sizes, so that the cost of a write does not grow with the number of recordings. A
recording that is being written is locked (`flock`), so that no worker deletes it; the lock ends with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from weakref import WeakValueDictionary

log = logging.getLogger(__name__)

NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[\w-]{1,80}\.jsonl", re.ASCII)
"""Recordings are found, and deleted when there are too many, by this name."""

MAX_QUEUED = 32 * 1024 * 1024
"""Bytes of all recordings of one directory that wait for the thread."""

SCAN_AFTER = 10.0
"""Seconds after which the directory is scanned again, since other workers and people change it, too."""

SCAN_SHARE = 32
"""The directory is also scanned when this process has written the 32nd part of the total since the last scan."""


class NoRoom(OSError):
    """The total of all recordings is reached, and none of them can be deleted."""


class RecordingFile:
    """A recording that is being written. Only its owner may read it. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._number, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.write(self._number, rest)
            self.size += written
            rest = rest[written:]

    def close(self) -> None:
        os.close(self._number)


class RecordingDirectory:
    """Keeps the size of all recordings, including those being written, below a total.

    `submit` is thread-safe; its work runs in the directory's thread, in order. All other methods are for that thread.
    Each of several workers may exceed the total by a 32nd until the next scan.
    """

    def __init__(self, path: Path, *, total: int) -> None:
        """`total`: bytes. Raises OSError if the directory cannot be made."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self.total = total
        self._work = _WorkQueue()
        # state
        self._used = 0
        """Bytes of all recordings, by the index."""
        self._finished: dict[str, int] = {}
        """Sizes of finished recordings by name, the oldest first."""
        self._running: set[RecordingFile] = set()
        self._scanned = -SCAN_AFTER
        self._written = 0
        """Bytes since the last scan."""

    def submit(self, size: int, work: Callable[[], None]) -> bool:
        """Queues `work`, which holds `size` bytes of memory. Returns False if too many bytes are queued."""
        return self._work.submit(size, work)

    def wait(self) -> None:
        """Returns when all submitted work is done."""
        self._work.wait()

    def create(self, name: str) -> RecordingFile:
        """A new file. Raises OSError."""
        file = RecordingFile(self.path / name)
        self._running.add(file)
        return file

    def append(self, file: RecordingFile, data: bytes) -> None:
        """Deletes the oldest recordings if there is no room, then writes. Raises OSError."""
        self._make_room(len(data))
        before = file.size
        try:
            file.write(data)
        finally:
            self._used += file.size - before
            self._written += file.size - before

    def close(self, file: RecordingFile) -> None:
        """Closes the file, which may be deleted from now on."""
        self._running.discard(file)
        self._finished[file.path.name] = file.size
        file.close()

    def _make_room(self, size: int) -> None:
        if time.monotonic() - self._scanned >= SCAN_AFTER or self._written * SCAN_SHARE >= self.total:
            self._scan()
        while self._used + size > self.total:
            if not self._finished:
                raise NoRoom("--record-total is reached, and no recording can be deleted")
            self._delete(next(iter(self._finished)))

    def _delete(self, name: str) -> None:
        size = self._finished.pop(name)
        path = self.path / name
        try:
            if _is_locked(path):
                return
            path.unlink()
        except FileNotFoundError:  # another worker was faster
            pass
        except OSError as error:
            log.warning("%s cannot be deleted: %s", path, error.strerror)
            return
        self._used -= size

    def _scan(self) -> None:
        sizes: dict[str, int] = {}
        with contextlib.suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                if NAME.fullmatch(entry.name):
                    with contextlib.suppress(OSError):
                        sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
        self._used = sum(sizes.values())
        for file in self._running:
            sizes.pop(file.path.name, None)
        self._finished = dict(sorted(sizes.items()))
        self._scanned = time.monotonic()
        self._written = 0


def _is_locked(path: Path) -> bool:
    """Whether a process writes to the file. Raises OSError."""
    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(number)
    return False


class _WorkQueue:
    """A queue of work for one thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recordings")
        self._lock = threading.Lock()
        # state
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._queued_bytes = 0
        """Bytes of queued and current work."""
        self._running: Future[None] | None = None

    def submit(self, size: int, work: Callable[[], None]) -> bool:
        with self._lock:
            if self._queued_bytes and self._queued_bytes + size > MAX_QUEUED:
                return False
            self._queued_bytes += size
            self._waiting.append((size, work))
            if self._running is None:
                self._running = self._thread.submit(self._run)
            return True

    def wait(self) -> None:
        with self._lock:
            running = self._running
        if running is not None:
            running.result()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running = None
                    return
                size, work = self._waiting.popleft()
            try:
                work()
            except Exception:
                log.exception("a recording could not be written")
            with self._lock:
                self._queued_bytes -= size


_OPEN: WeakValueDictionary[Path, RecordingDirectory] = WeakValueDictionary()


def open_directory(path: Path, *, total: int) -> RecordingDirectory:
    """The directory of this path, one object for all gateways and settings of the process. Raises OSError."""
    directory = _OPEN.get(path.absolute())
    if directory is None:
        directory = _OPEN[path.absolute()] = RecordingDirectory(path, total=total)
    directory.total = total
    return directory
