"""The directory of recordings: one thread that does all work on it, and what is deleted to make room.

The sizes are known from an index in memory, so that a write costs the same beside ten recordings and a million. A
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
"""Bytes that wait for the thread, of all recordings of one directory."""

SCAN_AFTER = 10.0
"""Seconds after which the directory is looked through again, for what other workers and people have done in it."""

SCAN_SHARE = 32
"""So many parts of the total are looked through in between: as soon as this process has written one part of it."""


class NoRoom(OSError):
    """All recordings together would be longer than they may be, and none of them can be deleted."""


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
    """Keeps all recordings together below a total, those that grow included.

    `submit` may be called from anywhere; what it is given runs in the directory's thread, in order. All other methods
    are for that thread. With several workers the total may be passed by a 32nd for each of them, until the next scan.
    """

    def __init__(self, path: Path, *, total: int) -> None:
        """`total`: bytes. Raises OSError if there can be no such directory."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self.total = total
        self._work = _WorkQueue()
        # moving
        self._used = 0
        """Bytes of all recordings, as far as is known."""
        self._finished: dict[str, int] = {}
        """Sizes by name, the oldest first."""
        self._running: set[RecordingFile] = set()
        self._scanned = -SCAN_AFTER
        self._written = 0
        """Bytes since the last scan."""

    def submit(self, size: int, work: Callable[[], None]) -> bool:
        """Whether `work`, which holds `size` bytes, will be done: not if too many wait."""
        return self._work.submit(size, work)

    def wait(self) -> None:
        """Returns when all that was submitted is done."""
        self._work.wait()

    def create(self, name: str) -> RecordingFile:
        """A new file. Raises OSError."""
        file = RecordingFile(self.path / name)
        self._running.add(file)
        return file

    def append(self, file: RecordingFile, data: bytes) -> None:
        """Deletes the oldest recordings where there is no room, then writes. Raises OSError."""
        self._make_room(len(data))
        before = file.size
        try:
            file.write(data)
        finally:
            self._used += file.size - before
            self._written += file.size - before

    def close(self, file: RecordingFile) -> None:
        """From now on it may be deleted."""
        self._running.discard(file)
        self._finished[file.path.name] = file.size
        file.close()

    def _make_room(self, size: int) -> None:
        if time.monotonic() - self._scanned >= SCAN_AFTER or self._written * SCAN_SHARE >= self.total:
            self._scan()
        while self._used + size > self.total:
            if not self._finished:
                raise NoRoom("all recordings together are too long")
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
    """Whether a process writes to it. Raises OSError."""
    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(number)
    return False


class _WorkQueue:
    """Work for one thread, which is there only while there is some."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recordings")
        self._lock = threading.Lock()
        # moving
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._held = 0
        """Bytes of what waits, and of what is being done."""
        self._running: Future[None] | None = None

    def submit(self, size: int, work: Callable[[], None]) -> bool:
        with self._lock:
            if self._held and self._held + size > MAX_QUEUED:
                return False
            self._held += size
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
                self._held -= size


_OPEN: WeakValueDictionary[Path, RecordingDirectory] = WeakValueDictionary()


def open_directory(path: Path, *, total: int) -> RecordingDirectory:
    """The only one of this path in this process, whichever gateways and settings use it. Raises OSError."""
    directory = _OPEN.get(path.absolute())
    if directory is None:
        directory = _OPEN[path.absolute()] = RecordingDirectory(path, total=total)
    directory.total = total
    return directory
