"""The cost of one unit: the difference of two runs of different length, without the cost of a run's start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

Counts = Mapping[str, Counter[str]]
"""Kind of count → name of what was counted → how often."""
Rates = dict[str, dict[str, float]]
"""Kind of count → name of what was counted → how often for each unit."""
LEAST = 0.005
"""Lower rates are of events that are not caused by each unit."""


def slope(few: Counts, many: Counts, units: int) -> Rates:
    """The rates of two runs, the second longer by so many units."""
    return {kind: _slopes(few[kind], many[kind], units) for kind in many}


def _slopes(few: Counter[str], many: Counter[str], units: int) -> dict[str, float]:
    return {name: (many[name] - few[name]) / units for name in few.keys() | many.keys()}


def total(rates: Rates, kind: str) -> float:
    """The sum over all names of a kind."""
    return sum(rates.get(kind, {}).values())


def largest(rates: Rates, kind: str, count: int) -> list[tuple[str, float]]:
    """The names of a kind with the highest rates, without those that round to nothing."""
    seen = [(name, rate) for name, rate in rates.get(kind, {}).items() if rate >= LEAST]
    return sorted(seen, key=lambda item: (-item[1], item[0]))[:count]
