"""`scripts/profile`: where the proxy's time goes, under one of the loads."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from .load.loads import LOADS, long_enough
from .measurement.measure import run_load
from .report.summary import per_chunk
from .report.tables import table
from .targets.processes import StartFailed, environment
from .targets.stage import open_stage

RATE = 500
"""Samples a second."""
AROUND = 3.0
"""Seconds by which the load is longer than each profile, for the profiler to come and go."""
PATIENCE = 60.0
"""Seconds for the profiler to write what it saw."""
MEASURABLE = [name for name, load in LOADS.items() if load.mode != "hold"]


class ProfileFailed(Exception):
    """py-spy gave nothing; the message is its output."""


@click.command("scripts/profile", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("load", type=click.Choice(MEASURABLE), default="paced")
@click.option("--seconds", type=click.IntRange(1, 100), default=10, show_default=True, help="How long to look.")
@click.option("--target", type=click.Choice(["proxy", "pipe"]), default="proxy", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The SVG; by default profile-LOAD.svg.")
@click.option("--top", type=click.IntRange(1, 100), default=10, show_default=True, help="Lines of the table.")
@click.option("--native", is_flag=True, help="Also look into C; slower, so the shares are less true.")
def profile(load: str, seconds: int, target: str, output: Path | None, top: int, native: bool) -> None:
    """Write a flame graph of the proxy under LOAD, and list the functions that take most."""
    file = output or Path(f"profile-{load}.svg")
    try:
        stacks = record(load, seconds, target, file, native)
    except (StartFailed, ProfileFailed) as error:
        raise click.ClickException(str(error)) from None
    click.echo(top_table(stacks, top))
    click.echo(f"The flame graph is in {file}.")


def record(name: str, seconds: int, target_name: str, file: Path, native: bool) -> list[str]:
    """Writes the flame graph, then samples again under the same load. The stacks of the second time."""
    load = replace(LOADS[name], seconds=2 * (seconds + AROUND))
    if load.mode == "steady":
        load = long_enough(load)
    stacks: list[str] = []
    with open_stage() as stage, stage.target(target_name) as target, tempfile.TemporaryDirectory() as home:
        raw = Path(home) / "stacks"

        def look() -> None:
            for form, output in (("flamegraph", file), ("raw", raw)):
                _spy(target.process.pids()[0], form, output, seconds, native)
            stacks.extend(raw.read_text("utf-8").splitlines())

        figures = run_load(load, target, stage, during=look)
    if figures.came.broken:
        raise ProfileFailed(f"answers were broken: {figures.came.broken[0]}")
    click.echo(f"{per_chunk(figures) or 0:.2f} µs/chunk while the profiler looked", err=True)
    return stacks


def _spy(pid: int, form: str, file: Path, seconds: int, native: bool) -> None:
    command: list[str] = [str(Path(sys.executable).parent / "py-spy"), "record", "--subprocesses"]
    command += ["--pid", str(pid), "--format", form, "--output", str(file)]
    command += ["--rate", str(RATE), "--duration", str(seconds), *(["--native"] if native else [])]
    command += ["--function"] if form == "raw" else []
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + PATIENCE, check=False, env=environment()
    )
    if done.returncode or not file.exists():
        raise ProfileFailed(f"py-spy: {(done.stderr or done.stdout).strip()[-1000:]}")


def top_table(stacks: Iterable[str], count: int) -> str:
    """The functions with the largest share of their own, and what they share with those they call."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for functions, samples in _parse(stacks):
        own[functions[-1]] += samples
        for function in set(functions):
            whole[function] += samples
    total = max(1, own.total())
    rows = [[name, f"{samples / total:.1%}", f"{whole[name] / total:.1%}"] for name, samples in own.most_common(count)]
    return table(["function", "own", "with callees"], rows, words=1)


def _parse(stacks: Iterable[str]) -> Iterator[tuple[list[str], int]]:
    """py-spy's raw form: functions from the outermost, separated by semicolons, then the samples."""
    for line in stacks:
        functions, _, samples = line.rpartition(" ")
        with contextlib.suppress(ValueError):
            yield functions.split(";"), int(samples)


if __name__ == "__main__":
    profile(prog_name="scripts/profile")
