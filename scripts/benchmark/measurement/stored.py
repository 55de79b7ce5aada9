"""Ten thousand stored responses in each store: how many it keeps, its memory, and the instructions of a look-up."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..counting.callgrind import parse_profile
from ..counting.tool import FIXED_HASHES, ToolFailed
from .stored_worker import BODY, INPUT

STORES = {"memory": "memory of the workers", "redis": "Redis", "sqlite": "file of `--response-db`"}
RESPONSES = 10_000
WARM, SHORT, LONG = 20, 50, 150
"""Look-ups: before the counts, and in the two counts whose difference is divided by that of these numbers."""
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class StoredFigures:
    store: str
    kept: int
    bytes_each: float
    instructions: float
    """Instructions of a look-up in the proxy's process; those of Redis itself are not counted."""


def measure_stores(progress: Callable[[str], None], responses: int = RESPONSES) -> list[StoredFigures]:
    """`responses`: the number of stored responses. Raises ToolFailed."""
    with tempfile.TemporaryDirectory(prefix="stored-") as name, _redis(Path(name)) as url:
        places = {"memory": "-", "redis": url, "sqlite": str(Path(name) / "responses.db")}
        return [_measure(kind, places[kind], responses, Path(name), progress) for kind in STORES]


def stored_table(figures: list[StoredFigures]) -> str:
    size = (len(BODY) + len(INPUT)) / 1000
    lines = [
        f"| store | kept of {RESPONSES:,} responses of {size:.1f} KB | memory of one | instructions of a look-up |",
        "|---|---:|---:|---:|",
    ]
    for each in figures:
        memory, thousands = f"{each.bytes_each / 1000:.1f} KB", f"{each.instructions / 1000:,.1f} k"
        lines.append(f"| {STORES[each.store]} | {each.kept:,} | {memory} | {thousands} |")
    return "\n".join(lines)


def _measure(kind: str, place: str, responses: int, home: Path, progress: Callable[[str], None]) -> StoredFigures:
    progress(f"{kind}: fills the store")
    with _worker(kind, place, str(responses), "fill") as worker:
        memory, kept = json.loads(worker.read())["memory"], json.loads(worker.read())["kept"]
    progress(f"{kind}: counts the instructions of look-ups")
    profile = home / f"callgrind-{kind}"
    valgrind = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--compress-strings=no"]
    wrap = (*FIXED_HASHES, *valgrind, f"--callgrind-out-file={profile}")
    with _worker(kind, place, str(responses), "few", *(["fill"] if kind == "memory" else []), wrap=wrap) as worker:
        worker.read()
        worker.read()
        worker.look_up(WARM)
        _control(worker.pid, "instrumentation", "on")
        counts = [_count(worker, profile, number, lookups) for number, lookups in enumerate((WARM, SHORT, LONG), 1)]
    return StoredFigures(kind, kept, memory / kept, (counts[2] - counts[1]) / (LONG - SHORT))


class _Worker:
    def __init__(self, process: subprocess.Popen[str], output: IO[str], input: IO[str]) -> None:
        self.pid = process.pid
        self._output = output
        self._input = input

    def read(self) -> str:
        """Raises ToolFailed."""
        line = self._output.readline()
        if not line:
            raise ToolFailed("the process that has the store has ended")
        return line

    def look_up(self, count: int) -> None:
        print(count, file=self._input, flush=True)
        self.read()


@contextmanager
def _worker(kind: str, place: str, *more: str, wrap: tuple[str, ...] = ()) -> Iterator[_Worker]:
    command = [*wrap, sys.executable, "-m", "benchmark.measurement.stored_worker", kind, place, *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield _Worker(process, process.stdout, process.stdin)
            process.stdin.close()
            process.wait(PATIENCE)
        finally:
            process.kill()


def _count(worker: _Worker, profile: Path, number: int, lookups: int) -> int:
    worker.look_up(lookups)
    _control(worker.pid, "dump")
    with profile.with_name(f"{profile.name}.{number}").open(encoding="utf-8", errors="replace") as lines:
        return parse_profile(lines).total()


def _control(pid: int, *words: str) -> None:
    done = subprocess.run(
        ["vgdb", f"--pid={pid}", *words], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode:
        raise ToolFailed(f"vgdb {' '.join(words)}: {(done.stderr or done.stdout).strip()}")


@contextmanager
def _redis(home: Path) -> Iterator[str]:
    """The address of a Redis of our own that keeps nothing. Raises ToolFailed."""
    program = shutil.which("redis-server")
    if program is None:
        raise ToolFailed("--stored needs redis-server: apt-get install redis-server")
    socket = home / "redis.sock"
    flags = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
    with subprocess.Popen([program, *flags], cwd=home, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not socket.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            yield f"unix://{socket}"
        finally:
            process.kill()
