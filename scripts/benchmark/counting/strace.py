"""Counts system calls by name, with strace."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..targets.stage import Command, Stage
from .slope import Counts
from .tool import FIXED_HASHES, START, Running

SYSTEM_CALLS = "system calls"
WAITS = "waits"
"""Calls that wait for an event. How many there are depends on how fast client and gateway are."""

WAITING = {"epoll_wait", "epoll_pwait", "futex"}

_CALL = re.compile(r"(?:\d+ +)?(\w+)\(")


class Strace:
    """A target under strace, which writes each call into a file at once."""

    def __init__(self) -> None:
        self._log = Path()
        self._place = 0

    @contextlib.contextmanager
    def running(self, stage: Stage, name: str, home: Path) -> Running:
        self._log = home / f"strace-{name}"
        self._place = 0
        with stage.under(self._wrap, name, START) as target:
            yield target

    def take(self) -> Counts:
        with self._log.open("rb") as file:
            file.seek(self._place)
            lines = file.read().decode("utf-8", "replace").splitlines()
            self._place = file.tell()
        calls = parse_calls(lines)
        waits = Counter({name: count for name, count in calls.items() if name in WAITING})
        return {SYSTEM_CALLS: calls - waits, WAITS: waits}

    def _wrap(self, command: Command) -> Command:
        return [
            *FIXED_HASHES,
            "strace",
            "--follow-forks",
            "--signal=none",
            "--string-limit=0",
            f"--output={self._log}",
            *command,
        ]


def parse_calls(lines: Iterable[str]) -> Counter[str]:
    """How often each call was made. A call that was resumed is counted where it began."""
    return Counter(found[1] for line in lines if (found := _CALL.match(line)))
