"""Tables in Markdown that also read well in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..load.loads import LOADS
from ..measurement.curves import Points
from .summary import Line

_COLUMNS: dict[str, Callable[[Line], str]] = {
    "load": lambda line: line.load,
    "target": lambda line: line.target,
    "CPU µs/chunk": lambda line: number(line.chunk),
    "µs/request": lambda line: number(line.request),
    "KB/stream": lambda line: number(line.memory),
    "× pipe": lambda line: number(line.ratio),
    "chunks/s": lambda line: number(line.chunks_per_second),
    "first byte ms": lambda line: number(line.first_byte),
    "p50 ms": lambda line: number(line.p50),
    "p99 ms": lambda line: number(line.p99),
    "added p50 ms": lambda line: number(line.added_p50),
    "added p99 ms": lambda line: number(line.added_p99),
    "answers": lambda line: f"{line.answers:,}",
    "broken": lambda line: f"{line.broken:,}" if line.broken else "",
}
_NAMES = {"pipe": "bare pipe", "proxy": "**oaicompat-proxy**", "litellm": "LiteLLM", "portkey": "Portkey"}
EXPLANATION = (
    "Microseconds are processor time of the whole process tree; in brackets the ratio to the bare pipe of the same "
    "round. For `idle` it is memory for each open stream, for `relay` the time added to a chunk: median / 99 %."
)
_WORDS = 2
"""The number of left-aligned columns."""


def result_table(lines: Sequence[Line]) -> str:
    """All results, without empty columns."""
    rows = [[show(line) for show in _COLUMNS.values()] for line in lines]
    kept = [at for at in range(len(_COLUMNS)) if any(row[at] for row in rows)]
    return table([list(_COLUMNS)[at] for at in kept], [[row[at] for at in kept] for row in rows], words=_WORDS)


def readme_table(lines: Sequence[Line]) -> str:
    """One line for each load: what each target costs, and the ratio to the pipe."""
    targets = [target for target in dict.fromkeys(line.target for line in lines) if target != "direct"]
    found = {(line.load, line.target): line for line in lines}
    head = ["load", "what it is", *(_NAMES.get(target, target) for target in targets)]
    rows = [
        [load, LOADS[load].question, *(_cell(found.get((load, target))) for target in targets)]
        for load in dict.fromkeys(line.load for line in lines)
    ]
    return table(head, rows, words=2)


def curve_table(points: Sequence[Points]) -> str:
    """One line for each curve and target."""
    rows = [
        [each.curve.title, each.curve.ylabel, _NAMES.get(target, target), _at(values, each.curve.xlabel)]
        for each in points
        for target, values in each.values.items()
    ]
    return table(["curve", "unit", "target", "measured"], rows, words=4)


def _at(values: Mapping[int, float], xlabel: str) -> str:
    return f"{', '.join(f'{number(value)} at {x:,}' for x, value in values.items())} {xlabel}"


def conditions_line(conditions: Mapping[str, str], rounds: int) -> str:
    words = [f"{name} {value}" for name, value in conditions.items()]
    times = "One round" if rounds == 1 else f"Medians of {rounds} rounds"
    return f"{times}, on: {', '.join(words)}."


def _cell(line: Line | None) -> str:
    if line is None:
        return ""
    if line.broken:
        return "answers were broken"
    if line.memory is not None:
        return f"{number(line.memory)} KB{_times(line)}"
    if line.added_p50 is not None and line.added_p99 is not None:
        return f"{line.added_p50:.2f} / {line.added_p99:.2f} ms"
    if LOADS[line.load].per_request:
        return f"{number(line.request)} µs a request{_times(line)}"
    return f"{number(line.chunk)} µs a chunk{_times(line)}"


def _times(line: Line) -> str:
    return "" if line.ratio is None or line.target == "pipe" else f" ({line.ratio:.2f}×)"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> str:
    """`words`: the number of left-aligned columns; the others are right-aligned."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    rule = ["-" * width if at < words else "-" * (width - 1) + ":" for at, width in enumerate(widths)]

    def aligned(row: Sequence[str]) -> list[str]:
        pairs = enumerate(zip(row, widths, strict=True))
        return [cell.ljust(width) if at < words else cell.rjust(width) for at, (cell, width) in pairs]

    lines = (aligned(head), rule, *map(aligned, rows))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float | None) -> str:
    """The number with about three significant digits."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
