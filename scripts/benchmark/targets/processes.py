"""The processes of a measurement: start, wait for the port, processor time, memory, end."""

from __future__ import annotations

import abc
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

START = 30.0
"""Seconds for a process to start, on a busy machine."""
STOP = 5.0
"""Seconds for a process to end by itself."""
QUIET = 0.05
QUIET_SHARE = 0.02
"""A process at rest uses less than this share of a processor for QUIET seconds."""
LONGEST_REST = 10.0
SCRIPTS = Path(__file__).parents[2]


class StartFailed(Exception):
    """A process did not start; the message ends with its output."""


class Measured(abc.ABC):
    """Something whose cost the operating system reports."""

    @abc.abstractmethod
    def pids(self) -> list[int]:
        """All processes that belong to it now."""

    def cpu(self) -> int:
        """Nanoseconds of processor time, as the scheduler counts them."""
        return sum(map(_cpu, self.pids()))

    def cpu_at_rest(self, within: float = LONGEST_REST) -> int:
        """`cpu`, read as soon as the processes are idle, or after so many seconds."""
        deadline = time.monotonic() + within
        before = self.cpu()
        while True:
            time.sleep(QUIET)
            now = self.cpu()
            if now - before < QUIET * QUIET_SHARE * 1e9 or time.monotonic() > deadline:
                return now
            before = now

    def memory(self) -> int:
        """Bytes of resident memory."""
        return sum(map(_resident, self.pids()))


class Group(Measured):
    """Processes side by side."""

    def __init__(self, members: Sequence[Measured]) -> None:
        self._members = members

    def pids(self) -> list[int]:
        return [pid for member in self._members for pid in member.pids()]


class Keeper:
    """A helper process: if the measurement is killed, it kills the started processes and removes the directory."""

    def __init__(self, home: Path) -> None:
        how: dict[str, Any] = {"stdin": subprocess.PIPE, "text": True, "env": environment(), "cwd": "/"}
        self._process = subprocess.Popen(module("targets.keeper", str(home)), start_new_session=True, **how)

    def keep(self, pid: int) -> None:
        self._send(f"+{pid}\n")

    def release(self, pid: int) -> None:
        self._send(f"-{pid}\n")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()


class Process(Measured):
    """A process with all its children, in a group of its own."""

    def __init__(self, name: str, command: Sequence[str], keeper: Keeper, **how: Any) -> None:
        """`how`: what Popen takes. Raises StartFailed."""
        self.name = name
        self._keeper = keeper
        how = {"env": environment(), "cwd": "/", **how}  # python -m would look into our directory before all else
        try:
            self.popen = subprocess.Popen(command, start_new_session=True, **how)
        except OSError as error:
            raise StartFailed(f"{name} cannot be started: {error}") from error
        self._keeper.keep(self.popen.pid)

    def pids(self) -> list[int]:
        return list(_tree(self.popen.pid))

    def stop(self, within: float = STOP) -> None:
        """Sends SIGTERM, and SIGKILL if the process does not end in time."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(within)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self._keeper.release(self.popen.pid)


class Server(Process):
    """A process whose output goes to a file."""

    def __init__(self, name: str, command: Sequence[str], keeper: Keeper, log: Path, **how: Any) -> None:
        self._log = log
        with log.open("wb") as file:
            how = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT, **how}
            super().__init__(name, command, keeper, **how)

    def wait_for(self, pattern: str, within: float = START) -> re.Match[str]:
        """Waits for the first match in the output. Raises StartFailed."""
        deadline = time.monotonic() + within
        while True:
            if found := re.search(pattern, self._output()):
                return found
            self._fail_unless_starting(deadline)
            time.sleep(0.02)

    def wait_for_port(self, port: int, within: float) -> None:
        """Waits until the port accepts connections. Raises StartFailed."""
        deadline = time.monotonic() + within
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            self._fail_unless_starting(deadline)
            time.sleep(0.1)

    def _output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def _fail_unless_starting(self, deadline: float) -> None:
        if self.popen.poll() is not None or time.monotonic() > deadline:
            raise StartFailed(f"{self.name} did not start:\n{self._output()[-2000:]}")


def environment(checkout: Path | None = None) -> dict[str, str]:
    """Ours, without settings of the proxy; with this package on the path, and the proxy of a checkout."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OAICOMPAT_")}
    return {**inherited, "PYTHONPATH": f"{checkout or SCRIPTS.parent}{os.pathsep}{SCRIPTS}"}


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package."""
    return [sys.executable, "-m", f"benchmark.{name}", *arguments]


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from _tree(int(child))


def _cpu(pid: int) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
