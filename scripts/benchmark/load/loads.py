"""The loads, each of which measures one property."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..gateway.frames import Run
from .drivers import PER_SECOND


@dataclass(frozen=True, slots=True)
class Load:
    """The requests to a target, and the duration."""

    name: str
    question: str
    run: Run
    connections: int
    mode: str = "repeat"
    seconds: float = 2.0
    warm: float = 0.5
    most: int = 1_000_000
    """Requests at most."""
    per_request: bool = False
    """The cost of a request is measured, not that of a chunk."""
    whole: bool = False
    """The answer is not streamed; targets that only copy bytes get the same run as a stream."""
    fresh: bool = False
    """Needs a freshly started target."""
    direct: bool = False
    """The gateway itself is measured, too."""
    api: str = "chat"
    """The client API of the requests to the proxy; targets that only copy bytes get the same run."""


LOADS = {
    load.name: load
    for load in (
        Load("burst", "cost of translating: 16 streams, 500 deltas at once", Run(deltas=500), 16, seconds=3),
        Load("paced", "a token in real life: 200 streams, a delta each 20 ms", Run(pace=20), 200, "steady", 5, 1),
        Load(
            "responses",
            "the same as paced, by the Responses API",
            Run(pace=20),
            200,
            "steady",
            5,
            1,
            api="responses",
        ),
        Load(
            "responses-burst",
            "the same as burst, by the Responses API",
            Run(deltas=500),
            16,
            seconds=3,
            api="responses",
        ),
        Load("messages", "the same as paced, by the Messages API", Run(pace=20), 200, "steady", 5, 1, api="messages"),
        Load(
            "messages-burst",
            "the same as burst, by the Messages API",
            Run(deltas=500),
            16,
            seconds=3,
            api="messages",
        ),
        Load("short", "cost of a request: 16 at a time, 8 deltas each", Run(deltas=8), 16, per_request=True),
        Load(
            "whole",
            "not streamed: 16 at a time, 50 deltas in one answer",
            Run(deltas=50),
            16,
            per_request=True,
            whole=True,
        ),
        Load("idle", "memory: 2,000 open silent streams", Run(deltas=1, hold=True), 2000, "hold", fresh=True),
        Load(
            "relay",
            "time added per chunk: 4 streams, a delta each 20 ms",
            Run(pace=20, stamped=True),
            4,
            "steady",
            seconds=5,
            direct=True,
        ),
    )
}

SCALES = {"full": (1.0, 1.0), "quick": (0.3, 1.0), "tiny": (0.1, 0.02)}
"""Factors: of the seconds, and of the connections if they are hundreds."""
FEW = 16
"""Loads with at most this many connections keep them at every scale."""
SPARE = 0.5
"""Seconds by which streams are longer than the measured window."""
SPARE_FILES = 200
FILES_PER_STREAM = 2


def scaled(load: Load, scale: str, *, debug: int = 0, files: int) -> Load:
    """The load, made smaller; `debug` bytes of prompt in each debugging frame, `files` descriptors at most."""
    seconds, many = SCALES[scale]
    connections = max(min(load.connections, FEW), round(load.connections * many))
    load = replace(
        load,
        connections=min(connections, (files - SPARE_FILES) // FILES_PER_STREAM),
        seconds=load.seconds * seconds,
        warm=max(0.2, load.warm * seconds),
        run=replace(load.run, debug=debug),
    )
    return long_enough(load) if load.mode == "steady" else load


def long_enough(load: Load) -> Load:
    """The load with streams that are longer than the measured window."""
    pace = load.run.pace / 1000
    length = load.connections / PER_SECOND * 2 + pace + load.warm + load.seconds + SPARE
    return replace(load, run=replace(load.run, deltas=round(length / pace)))
