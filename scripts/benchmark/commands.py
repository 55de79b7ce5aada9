"""The command line of `scripts/bench`."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from .counting.commands import (
    check_ratios,
    count_costs,
    show_inspection,
    show_memory,
    show_pauses,
    show_workers,
    write_ratios,
)
from .counting.commands import why_not as why_no_count
from .counting.inspection import ROUNDS as INSPECTION_ROUNDS
from .counting.loads import COUNTED
from .counting.tool import ToolFailed
from .load.loads import LOADS, SCALES, Load, scaled
from .measurement import machine
from .measurement.curves import build_curves, run_curves
from .measurement.rounds import Plan, run_rounds
from .measurement.stored import RESPONSES, measure_stores, stored_table
from .report.plot import plot
from .report.readme import PLOT, NoPlace, check_place, write_part
from .report.summary import remarks, summarise
from .report.tables import EXPLANATION, conditions_line, curve_table, readme_table, result_table
from .targets.peers import PEERS
from .targets.processes import StartFailed
from .targets.stage import BEFORE, LOOKED_INTO, OWN, Stage, nginx_program, open_stage, raise_file_limit

ROUNDS = 5
QUICK_ROUNDS = 2
CURVE_ROUNDS = 3
CURVE_SECONDS = {"full": 3.0, "quick": 1.0, "tiny": 0.2}
CURVE_SHARES = {"full": 1.0, "quick": 1.0, "tiny": 0.02}
DEBUG_BYTES = 65536
TINY_STORE = 100
TABLES = ("pauses", "memory", "inspect", "workers")
"""Those of `--count` that have a table of their own."""
COUNTS = ("all", "check", "write", *TABLES)

OutputFile = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command("scripts/bench", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--only", metavar="LOAD,…", help=f"Only these loads, of {', '.join(LOADS)}.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=click.Choice((*OWN, *LOOKED_INTO)),
    help=f"Only this; may be repeated. {' and '.join(LOOKED_INTO)}: the proxy with --inspect, alone and with a reader.",
)
@click.option("--quick", is_flag=True, help="About one minute in all, and rougher.")
@click.option("--rounds", type=click.IntRange(1, 100), help=f"How often all is measured; by default {ROUNDS}.")
@click.option(
    "--debug-frames",
    type=click.IntRange(0, 4 * 1024 * 1024),
    is_flag=False,
    flag_value=DEBUG_BYTES,
    default=0,
    metavar="[BYTES]",
    help=f"Runs bring the debugging frames of real ones, a prompt of so many bytes in each; by default {DEBUG_BYTES}.",
)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="NAME[=PROGRAM]",
    help=f"Also this gateway, which gets the same deltas in OpenAI's form: {' or '.join(PEERS)}; may be repeated.",
)
@click.option(
    "--before",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Also the proxy as it is in another checkout, called `before`.",
)
@click.option("--curves", is_flag=True, help="Measure the curves instead: over streams, lengths and workers.")
@click.option(
    "--count",
    type=click.Choice(COUNTS),
    is_flag=False,
    flag_value="all",
    help="Count instructions, system calls and Python calls instead; `check`: only the first two, against the table "
    "in the repository; `write`: write that table; `pauses`: only the longest pause of the event loop; `memory`: only "
    "what an open stream allocates, by part of the program, and what remains after peaks; `inspect`: only what the "
    "inspector costs a delta; `workers`: only what a request costs with two workers.",
)
@click.option(
    "--stored", is_flag=True, help="Measure the stores of responses instead: memory, and the cost of a look-up."
)
@click.option("--plot", type=OutputFile, default="curves.png", show_default=True, help="The picture of the curves.")
@click.option("--json", type=OutputFile, help="Write all figures there.")
@click.option(
    "--readme", is_flag=True, help="Write the table into scripts/benchmark/README.md; the picture is written beside it."
)
@click.option("--scale", type=click.Choice(tuple(SCALES)), hidden=True)
def bench(**options: Any) -> None:
    """Measure what the proxy costs, beside a bare byte pipe and nginx, in processor time.

    All answers are checked for completeness; if one is broken, the exit status is 1.
    """
    if why := machine.why_not():
        raise click.ClickException(why)
    signal.signal(signal.SIGTERM, _stop)
    settings = Settings(**options)
    if settings.count:
        _count(settings)
        return
    if settings.stored:
        _stored(settings)
        return
    loads, targets, programs = _loads(settings), _targets(settings), _programs(settings)
    with _errors_as_messages(), open_stage(programs, settings.before) as stage:
        if settings.readme:
            check_place(settings.part)
        if settings.curves:
            whole = _curves(stage, settings)
        else:
            plan = Plan(loads, [*targets, *programs], settings.rounds or (QUICK_ROUNDS if settings.quick else ROUNDS))
            whole = _table(stage, plan, settings)
    if not whole:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The command line."""

    only: str | None
    targets: tuple[str, ...]
    quick: bool
    rounds: int | None
    debug_frames: int
    peers: tuple[str, ...]
    before: Path | None
    curves: bool
    count: str | None
    stored: bool
    plot: Path
    json: Path | None
    readme: bool
    scale: str | None

    @property
    def size(self) -> str:
        return self.scale or ("quick" if self.quick else "full")

    @property
    def part(self) -> str:
        """The README's table for this run: comparisons with other gateways have a separate one."""
        if self.count:
            return self.count if self.count in TABLES else "counts"
        if self.stored:
            return "stored"
        if self.curves:
            return "curves"
        return "peers" if self.peers else "bench"


def _table(stage: Stage, plan: Plan, settings: Settings) -> bool:
    """Returns whether every answer was complete."""
    rounds = list(run_rounds(stage, plan, _print_progress))
    lines = summarise(rounds)
    conditions = machine.conditions()
    below = [conditions_line(conditions, plan.rounds), *(f"Mind: {remark}" for remark in remarks(rounds))]
    click.echo("\n".join([result_table(lines), "", *below]))
    figures = [[asdict(each) for each in figures] for figures in rounds]
    _write(settings, conditions, lines=[asdict(line) for line in lines], remarks=remarks(rounds), rounds=figures)
    if settings.readme:
        explanation = [] if settings.peers else [EXPLANATION]
        write_part(settings.part, "\n\n".join([readme_table(lines), *explanation, *below]))
    return not any(line.broken for line in lines)


def _curves(stage: Stage, settings: Settings) -> bool:
    """Returns whether every answer was complete."""
    curves = build_curves(CURVE_SECONDS[settings.size], CURVE_SHARES[settings.size])
    rounds = settings.rounds or (1 if settings.quick else CURVE_ROUNDS)
    points = run_curves(stage, curves, rounds, _print_progress)
    conditions = machine.conditions()
    text = "\n\n".join([curve_table(points), conditions_line(conditions, rounds)])
    broken = [f"{each.curve.name}: {what}" for each in points for what in each.broken]
    click.echo("\n".join([text, *(f"BROKEN {what}" for what in broken)]))
    plot(points, PLOT if settings.readme else settings.plot)
    _write(settings, conditions, curves={each.curve.name: each.values for each in points}, broken=broken)
    if settings.readme:
        write_part(settings.part, text)
    return not broken


def _count(settings: Settings) -> None:
    if why := why_no_count():
        raise click.ClickException(why)
    names = _names(settings, COUNTED)
    with _errors_as_messages(), open_stage(before=settings.before) as stage:
        if settings.readme:
            check_place(settings.part)
        if settings.count == "write":
            write_ratios(stage, _print_progress)
        elif settings.count == "check":
            if not check_ratios(stage, names, _print_progress):
                raise click.exceptions.Exit(1)
        elif settings.count == "memory":
            _write_counts(settings, show_memory(stage, settings.before is not None, _print_progress))
        elif settings.count == "inspect":
            _write_counts(settings, show_inspection(stage, _print_progress), INSPECTION_ROUNDS)
        elif settings.count == "workers":
            _write_counts(settings, show_workers(stage, _print_progress))
        elif settings.count == "pauses":
            _write_counts(settings, show_pauses(stage, settings.before is not None, _print_progress))
        else:
            others = [BEFORE] if settings.before else []
            _write_counts(settings, count_costs(stage, names, others, settings.json, _print_progress))


def _stored(settings: Settings) -> None:
    if why := why_no_count():
        raise click.ClickException(why)
    with _errors_as_messages():
        if settings.readme:
            check_place(settings.part)
        table = stored_table(measure_stores(_print_progress, TINY_STORE if settings.scale == "tiny" else RESPONSES))
    click.echo(table)
    _write_counts(settings, table)


def _write_counts(settings: Settings, table: str, rounds: int = 1) -> None:
    if settings.readme:
        write_part(settings.part, "\n\n".join([table, conditions_line(machine.conditions(), rounds)]))


def _names(settings: Settings, known: Collection[str]) -> list[str]:
    """The names of the requested loads."""
    names = settings.only.split(",") if settings.only else list(known)
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"no load {', '.join(unknown)}; there are {', '.join(known)}", param_hint="--only")
    return names


def _loads(settings: Settings) -> list[Load]:
    files = raise_file_limit()
    return [
        scaled(LOADS[name], settings.size, debug=settings.debug_frames, files=files) for name in _names(settings, LOADS)
    ]


def _targets(settings: Settings) -> list[str]:
    names = [name for name in OWN if not settings.targets or name in settings.targets]
    if "nginx" in names and nginx_program() is None:
        _print_progress("nginx is not installed, and left out")
        names.remove("nginx")
    return [*names, *filter(settings.targets.__contains__, LOOKED_INTO), *([BEFORE] if settings.before else [])]


def _programs(settings: Settings) -> dict[str, str]:
    """The path of each peer's program; empty for its default name."""
    programs = dict(peer.partition("=")[::2] for peer in settings.peers)
    if unknown := [name for name in programs if name not in PEERS]:
        raise click.BadParameter(f"no peer {', '.join(unknown)}; there are {', '.join(PEERS)}", param_hint="--peer")
    return programs


@contextlib.contextmanager
def _errors_as_messages() -> Iterator[None]:
    try:
        yield
    except (StartFailed, NoPlace, ToolFailed) as error:
        raise click.ClickException(str(error)) from None


def _stop(signum: int, frame: FrameType | None) -> NoReturn:
    """Ends as on Ctrl-C, which ends every process that was started."""
    raise KeyboardInterrupt


def _print_progress(line: str) -> None:
    click.echo(line, err=True)


def _write(settings: Settings, conditions: Mapping[str, str], **parts: Any) -> None:
    if settings.json:
        settings.json.write_text(json.dumps({"conditions": conditions, **parts}, indent=1) + "\n", "utf-8")
