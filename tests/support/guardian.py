"""Ends the processes that a test process has started, even if the test process was killed.

`watch()` starts the guardian, a process that waits for the end of its input. Its input is a pipe from the test process,
which closes when the test process ends, whatever ends it. The guardian then kills the process groups that it was given,
and every process that has the mark of the test process in its environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

MARK = "TEST_PROCESS"
"""The environment variable by which child processes, and their children, are found."""

_guardians: list[subprocess.Popen[bytes]] = []
"""At most one; none before `watch`, and none in scripts that use `tests.support`."""


def watch() -> None:
    """Starts the guardian; call it before the first process that must not be left behind."""
    mark = uuid.uuid4().hex
    command = [sys.executable, __file__, mark]
    _guardians.append(subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True))
    os.environ[MARK] = mark


def stop() -> None:
    """Ends the guardian, which kills the processes that the tests have left."""
    while _guardians:
        guardian = _guardians.pop()
        assert guardian.stdin is not None
        guardian.stdin.close()
        guardian.wait()


def guard(group: int) -> None:
    """Registers a process group, for programs that overwrite their environment, as nginx and Redis do."""
    _tell(b"+%d\n" % group)


def release(group: int) -> None:
    """Removes a group that has ended, since its number may be used again."""
    _tell(b"-%d\n" % group)


def _tell(line: bytes) -> None:
    for guardian in _guardians:
        assert guardian.stdin is not None
        guardian.stdin.write(line)


def read_groups(lines: Iterable[str]) -> set[int]:
    """The groups that were added and not released before the input ended."""
    groups: set[int] = set()
    for line in lines:
        change = groups.add if line[0] == "+" else groups.discard
        change(int(line[1:]))
    return groups


def marked(mark: str) -> Iterator[int]:
    entry = f"{MARK}={mark}".encode()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if entry in (path / "environ").read_bytes().split(b"\0"):
                yield int(path.name)


def kill_all(groups: Iterable[int], mark: str) -> None:
    """Kills the groups first, then marked processes until none is left, since they may start others meanwhile."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    while pids := list(marked(mark)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kill_all(read_groups(sys.stdin), sys.argv[1])
