"""The loads of `benchmark.load` in two lengths, whose difference is a known number of units."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..gateway.frames import Run
from ..load.loads import LOADS, Load

PACE = 20
"""Milliseconds between paced deltas: a target under valgrind is done with one before the next comes."""
LONGEST = 240.0
"""Seconds for all requests of one length."""


@dataclass(frozen=True, slots=True)
class CountedLoad:
    """A load in two lengths."""

    name: str
    question: str
    unit: str
    """The unit of the cost: `request` or `delta`."""
    load: Load
    few: int
    """Requests of the shorter length; deltas of its one request where a run is `paced`."""
    many: int

    @property
    def paced(self) -> bool:
        return bool(self.load.run.pace)

    @property
    def units(self) -> int:
        """Requests or deltas by which the longer length is longer."""
        per_request = self.load.run.deltas if self.unit == "delta" and not self.paced else 1
        return (self.many - self.few) * per_request

    def sized(self, length: int) -> Load:
        """The load in one of its lengths."""
        if self.paced:
            return replace(self.load, run=replace(self.load.run, deltas=length), most=1)
        return replace(self.load, most=length)


def _counted(name: str, question: str, load: Load, few: int, many: int) -> CountedLoad:
    unit = "request" if load.per_request else "delta"
    return CountedLoad(name, question, unit, replace(load, connections=1, mode="count", seconds=LONGEST), few, many)


COUNTED = {
    each.name: each
    for each in (
        _counted("short", "a request: 8 deltas, streamed", LOADS["short"], 40, 140),
        _counted("whole", "a request: 50 deltas in one answer", LOADS["whole"], 30, 110),
        _counted("paced", "a delta on its own", replace(LOADS["paced"], run=Run(pace=PACE)), 40, 240),
        _counted(
            "responses",
            "a delta on its own, by the Responses API",
            replace(LOADS["responses"], run=Run(pace=PACE)),
            40,
            240,
        ),
        _counted("responses-burst", "a delta in a burst, by the Responses API", LOADS["responses-burst"], 5, 25),
        _counted(
            "messages",
            "a delta on its own, by the Messages API",
            replace(LOADS["messages"], run=Run(pace=PACE)),
            40,
            240,
        ),
        _counted("messages-burst", "a delta in a burst, by the Messages API", LOADS["messages-burst"], 5, 25),
        _counted("burst", "a delta in a burst of 500", LOADS["burst"], 5, 25),
    )
}
