"""Figures of several rounds → one line for each load and target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from ..load.loads import LOADS
from ..measurement.measure import Figures
from ..targets.stage import DIRECT, OWN

YARDSTICK = "pipe"
NOISY = 0.1
"""Share of the machine that other processes may take before the figures are doubtful."""
FULL = 0.9
"""Share of a processor at which the gateway or the client is the limit, not the target."""
BEHIND = 0.97
"""Share of the deltas that were due."""

Round = Sequence[Figures]
Measure = Callable[[Figures], float | None]


@dataclass(slots=True)
class Line:
    """Medians over the rounds; None if not applicable."""

    load: str
    target: str
    rounds: int
    answers: int
    broken: int
    chunk: float | None = None
    """Microseconds of processor time for each delta."""
    request: float | None = None
    """Microseconds of processor time for each request."""
    memory: float | None = None
    """Kilobytes (1024) for each open stream."""
    ratio: float | None = None
    """The ratio to the pipe of the same round: of processor time, or of memory if the load measures memory."""
    chunks_per_second: float | None = None
    first_byte: float | None = None
    """Milliseconds, as all times below: median."""
    p50: float | None = None
    """The median time of a whole answer; with stamped deltas, of one chunk's transport."""
    p99: float | None = None
    added_p50: float | None = None
    """The difference to the gateway without a proxy, in the same round."""
    added_p99: float | None = None


def summarise(rounds: Sequence[Round]) -> list[Line]:
    """One line for each load and target, in the order of the loads; the pipe comes first."""
    pairs = {(each.load, each.target) for each in _all(rounds)}
    targets = [DIRECT, *OWN, *sorted({target for _, target in pairs} - {DIRECT, *OWN})]
    order = [(load, target) for load in LOADS for target in targets if (load, target) in pairs]
    return [_line(load, target, rounds) for load, target in order]


def remarks(rounds: Sequence[Round]) -> list[str]:
    """Warnings about doubtful figures."""
    warnings = []
    noise = median(each.others for each in _all(rounds)) if any(rounds) else 0.0
    if noise > NOISY:
        warnings.append(f"The machine was busy with other things: {noise:.0%} of it. Measure again when it is quiet.")
    for load, target in dict.fromkeys((each.load, each.target) for each in _all(rounds)):
        own = [each for each in _all(rounds) if (each.load, each.target) == (load, target) and each.seconds]
        for name, share in (("gateway", _gateway_share), ("client", _client_share)):
            if own and median(map(share, own)) > FULL and target != DIRECT:
                warnings.append(f"{load}, {target}: the {name} was the limit of the throughput.")
        if own and own[0].due and median(each.came.deltas / each.due for each in own) < BEHIND:
            warnings.append(f"{load}, {target}: it did not keep up with the pace.")
    return warnings


def _gateway_share(figures: Figures) -> float:
    return figures.gateway_cpu / figures.seconds / 1e9


def _client_share(figures: Figures) -> float:
    return figures.client_cpu / figures.seconds / 1e9


def _all(rounds: Iterable[Round]) -> Iterable[Figures]:
    return (figures for each in rounds for figures in each)


def _line(load: str, target: str, rounds: Sequence[Round]) -> Line:
    own = [each for each in _all(rounds) if (each.load, each.target) == (load, target)]
    answers, broken = sum(each.came.requests for each in own), sum(len(each.came.broken) for each in own)
    line = Line(load, target, len(own), answers, broken)
    mode = LOADS[load].mode
    if mode == "hold":
        line.memory = _median(per_stream, own)
        line.ratio = _ratio(per_stream, load, target, rounds)
        return line
    if target != DIRECT:
        line.chunk = _median(per_chunk, own)
    if not LOADS[load].run.stamped:
        line.ratio = _ratio(per_chunk, load, target, rounds)
    line.chunks_per_second = _median(lambda each: each.came.deltas / each.seconds if each.seconds else None, own)
    if mode == "repeat":
        line.request = _median(per_request, own)
        line.first_byte = _median(lambda each: _at(each.came.first_byte, 0), own)
        line.p50 = _median(lambda each: _at(each.came.duration, 0), own)
        line.p99 = _median(lambda each: _at(each.came.duration, 1), own)
    elif LOADS[load].run.stamped:
        line.p50 = _median(lambda each: _at(each.came.relay, 0), own)
        line.p99 = _median(lambda each: _at(each.came.relay, 1), own)
        line.added_p50 = _added(0, load, target, rounds)
        line.added_p99 = _added(1, load, target, rounds)
    return line


def per_chunk(figures: Figures) -> float | None:
    """Microseconds of processor time."""
    return figures.cpu / figures.came.deltas / 1e3 if figures.came.deltas else None


def per_request(figures: Figures) -> float | None:
    """Microseconds of processor time."""
    return figures.cpu / figures.came.requests / 1e3 if figures.came.requests else None


def per_stream(figures: Figures) -> float | None:
    """Kilobytes (1024) by which the target grew."""
    return figures.memory / figures.connections / 1024 if figures.connections else None


def _ratio(measure: Measure, load: str, target: str, rounds: Sequence[Round]) -> float | None:
    pairs = _pairs(measure, load, target, YARDSTICK, rounds)
    return median(ours / pipe for ours, pipe in pairs) if pairs else None


def _added(index: int, load: str, target: str, rounds: Sequence[Round]) -> float | None:
    if target == DIRECT:
        return None
    pairs = _pairs(lambda each: _at(each.came.relay, index), load, target, DIRECT, rounds)
    return median(ours - direct for ours, direct in pairs) if pairs else None


def _pairs(measure: Measure, load: str, target: str, other: str, rounds: Sequence[Round]) -> list[tuple[float, float]]:
    """The values of both targets in the same rounds."""
    pairs = []
    for each in rounds:
        found = {figures.target: measure(figures) for figures in each if figures.load == load}
        one, two = found.get(target), found.get(other)
        if one is not None and two:
            pairs.append((one, two))
    return pairs


def _median(measure: Measure, figures: Iterable[Figures]) -> float | None:
    values = [value for each in figures if (value := measure(each)) is not None]
    return median(values) if values else None


def _at(quantiles: Sequence[float], index: int) -> float | None:
    return quantiles[index] * 1e3 if quantiles else None
