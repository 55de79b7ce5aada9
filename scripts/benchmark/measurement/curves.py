"""How the proxy scales: over open streams, over the length of a stream, over workers.

On each point of a curve only one thing is different: with more streams each is slower, so that the deltas a second
stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from ..gateway.frames import Run
from ..load.loads import FILES_PER_STREAM, LOADS, SPARE_FILES, Load, long_enough
from ..report.summary import per_chunk, per_request, per_stream
from ..targets.stage import Stage, raise_file_limit
from .measure import Figures, run_load
from .rounds import Progress

DELTAS_PER_SECOND = 1000
"""Few enough that even 100 streams pause for longer than TCP's delayed acknowledgement, which costs a packet."""
STREAMS = (100, 1000, 5000)
LENGTHS = (100, 10_000, 100_000)
WORKERS = (1, 2)
LONG_STREAMS = 4
"""Number of long streams at a time: the client buffers them whole."""
MOST_DELTAS = 1_000_000
"""Deltas of all answers of a point, at most: the client buffers them until they are checked."""
MEMORY_STREAMS = 8
MEMORY_PACE = 20.0
MEMORY_BATCH = 100
"""Deltas sent at a time: few enough that no buffer fills up."""

Measure = Callable[[Figures], float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    """`loads`: one for each x."""

    name: str
    title: str
    xlabel: str
    ylabel: str
    loads: dict[int, Load]
    measure: Measure
    targets: tuple[str, ...] = ("pipe", "proxy")
    workers: bool = False
    """x is the number of the proxy's workers."""


@dataclass(slots=True)
class Points:
    """The results: a median over the rounds for each target and x."""

    curve: Curve
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def build_curves(seconds: float, share: float = 1.0) -> list[Curve]:
    """`seconds` for each point; `share` of the streams and the lengths, for a trial."""
    most = (raise_file_limit() - SPARE_FILES) // FILES_PER_STREAM
    streams = sorted({max(2, min(most, round(count * share))) for count in STREAMS})
    lengths = sorted({max(2, round(length * share)) for length in LENGTHS})
    return [
        Curve(
            "streams",
            "Cost of a chunk over open streams",
            "open streams",
            "CPU µs per chunk",
            {count: _paced(count, seconds, share) for count in streams},
            per_chunk,
        ),
        Curve(
            "length",
            "Cost of a chunk over the length of a stream",
            "deltas of a stream",
            "CPU µs per chunk",
            {length: _long(length, seconds) for length in lengths},
            per_chunk,
        ),
        Curve(
            "memory",
            "Memory of a stream over its length",
            "deltas so far",
            "KB per open stream",
            {length: _held(length) for length in lengths},
            per_stream,
        ),
        _workers("requests", "Requests over workers", "requests per second", "short", seconds, _requests_per_second),
        _workers("chunks", "Chunks over workers", "chunks per second", "burst", seconds, _chunks_per_second),
        _workers("work", "Cost of a request over workers", "CPU µs per request", "short", seconds, per_request),
    ]


def _paced(count: int, seconds: float, share: float) -> Load:
    pace = count / (DELTAS_PER_SECOND * share) * 1000
    return long_enough(replace(LOADS["paced"], connections=count, seconds=seconds, run=Run(pace=pace)))


def _long(length: int, seconds: float) -> Load:
    most = max(2 * LONG_STREAMS, MOST_DELTAS // length)
    return replace(LOADS["burst"], connections=LONG_STREAMS, seconds=seconds, run=Run(deltas=length), most=most)


def _held(length: int) -> Load:
    run = Run(deltas=length, pace=MEMORY_PACE, batch=MEMORY_BATCH, hold=True)
    return replace(LOADS["idle"], connections=MEMORY_STREAMS, run=run)


def _workers(name: str, title: str, ylabel: str, load: str, seconds: float, measure: Measure) -> Curve:
    loads = {count: replace(LOADS[load], seconds=seconds) for count in WORKERS}
    return Curve(name, title, "workers", ylabel, loads, measure, ("proxy",), workers=True)


def _requests_per_second(figures: Figures) -> float | None:
    return figures.came.requests / figures.seconds if figures.seconds else None


def _chunks_per_second(figures: Figures) -> float | None:
    return figures.came.deltas / figures.seconds if figures.seconds else None


def run_curves(stage: Stage, curves: Sequence[Curve], rounds: int, progress: Progress) -> list[Points]:
    """Every point in every round, each on a fresh target."""
    found: dict[tuple[str, str, int], list[float]] = {}
    points = [Points(curve) for curve in curves]
    for number in range(rounds):
        for each in points:
            for target, x, figures in _run_curve(stage, each.curve):
                each.broken += figures.came.broken
                value = each.curve.measure(figures)
                if value is not None:
                    found.setdefault((each.curve.name, target, x), []).append(value)
            progress(f"round {number + 1} of {rounds}: {each.curve.title}")
    for each in points:
        for target in each.curve.targets:
            own = {x: found[key] for x in each.curve.loads if (key := (each.curve.name, target, x)) in found}
            each.values[target] = {x: median(values) for x, values in own.items()}
    return points


def _run_curve(stage: Stage, curve: Curve) -> Iterator[tuple[str, int, Figures]]:
    for x, load in curve.loads.items():
        for name in curve.targets:
            context = stage.workers(x) if curve.workers and x > 1 else stage.target(name)
            with context as target:
                yield name, x, run_load(load, target, stage)
