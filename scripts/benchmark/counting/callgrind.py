"""Instructions in user space, by C function, as valgrind's callgrind counts them."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..targets.stage import Command, Stage
from .slope import Counts
from .tool import FIXED_HASHES, START, Running, ToolFailed

INSTRUCTIONS = "instructions"
PATIENCE = 60.0
"""Seconds for a command of valgrind."""

_COST = re.compile(r"[0-9+*-]\S* (\d+)")
_RECURSION = re.compile(r"'\d+$")


class Callgrind:
    """A target under valgrind, with all its processes.

    Counting begins after the target's start, which would take a minute if counted.
    """

    def __init__(self) -> None:
        self._profile = ""
        self._pids: list[int] = []
        self._dumps = 0

    @contextlib.contextmanager
    def running(self, stage: Stage, name: str, home: Path) -> Running:
        self._profile = str(home / f"callgrind-{name}-%p")
        self._dumps = 0
        with stage.under(self._wrap, name, START) as target:
            target.process.cpu_at_rest(START)  # workers start after the address is printed
            self._pids = target.process.pids()
            for pid in self._pids:
                _control(pid, "instrumentation", "on")
            yield target

    def take(self) -> Counts:
        self._dumps += 1
        counts: Counter[str] = Counter()
        for pid in self._pids:
            _control(pid, "dump")
            dump = Path(f"{self._profile.replace('%p', str(pid))}.{self._dumps}")
            with dump.open(encoding="utf-8", errors="replace") as lines:
                counts += parse_profile(lines)
            dump.unlink()
        return {INSTRUCTIONS: counts}

    def _wrap(self, command: Command) -> Command:
        how = ["--instr-atstart=no", "--compress-strings=no", f"--callgrind-out-file={self._profile}"]
        # workers cannot be controlled without --trace-children
        return [*FIXED_HASHES, "valgrind", "--tool=callgrind", "--trace-children=yes", *how, *command]


def _control(pid: int, *words: str) -> None:
    done = subprocess.run(
        ["vgdb", f"--pid={pid}", *words], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode:
        raise ToolFailed(f"vgdb {' '.join(words)}: {(done.stderr or done.stdout).strip()}")


def parse_profile(lines: Iterable[str]) -> Counter[str]:
    """Each function's own instructions, from callgrind's file format without compressed names."""
    counts: Counter[str] = Counter()
    object_file = function = ""
    inclusive = False
    for line in lines:
        if found := _COST.match(line):
            if not inclusive:
                counts[function] += int(found[1])
            inclusive = False
        elif line.startswith("ob="):
            object_file = Path(line[3:].strip()).name
        elif line.startswith("fn="):
            function = _name(object_file, line[3:].strip())
        elif line.startswith("calls="):
            inclusive = True  # the next line is the cost of the function that is called
    return counts


def _name(object_file: str, function: str) -> str:
    """A function's name without its level of recursion; with its library if the library has no symbols."""
    function = _RECURSION.sub("", function)
    return f"{object_file}:{function}" if function.startswith("0x") else function
