"""Numbers that are added up here, and told to Prometheus' client all at once.

It takes locks and steps through boundaries for each number, and where several workers count together it writes each
into a file: that is done once for many runs.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

MOST_NOTED = 256
"""Amounts that wait to be sorted into buckets, so that they take some kilobytes at most."""


class Collected(Histogram):
    """A histogram that takes many observations at once."""

    @property
    def bounds(self) -> Sequence[float]:
        """Of its buckets; the last is infinite."""
        return self._upper_bounds

    def add(self, counts: Sequence[int], total: float) -> None:
        """`counts`: of observations in each bucket alone. `total`: their sum."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class Total:
    """What a counter has yet to be told."""

    __slots__ = ("_child", "count")

    def __init__(self, counter: Counter, *labels: str) -> None:
        self._child = functools.cache(functools.partial(counter.labels, *labels))
        """Is made when there is something to tell."""
        # moving
        self.count = 0

    def settle(self) -> None:
        if self.count:
            self._child().inc(self.count)
            self.count = 0


class Spread:
    """What a histogram has yet to be told."""

    __slots__ = ("_bounds", "_child", "_counts", "_noted", "_sum")

    def __init__(self, histogram: Collected, *labels: str) -> None:
        self._child = functools.cache(functools.partial(histogram.labels, *labels))
        """Is made when there is something to tell."""
        self._bounds = histogram.bounds
        # moving
        self._noted: list[float] = []
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def note(self, amount: float) -> None:
        noted = self._noted
        noted.append(amount)
        if len(noted) == MOST_NOTED:
            self._sort()

    def settle(self) -> None:
        self._sort()
        if any(self._counts):
            self._child().add(self._counts, self._sum)
            self._counts = [0] * len(self._counts)
            self._sum = 0.0

    def _sort(self) -> None:
        """What was noted, into its buckets: a look for each bound, where each amount would need several."""
        noted = self._noted
        noted.sort()
        below = 0
        for bucket, bound in enumerate(self._bounds):
            fitting = bisect_right(noted, bound, below)
            self._counts[bucket] += fitting - below
            below = fitting
        self._sum += sum(noted)
        noted.clear()


class Tallies:
    """All that is added up by one process."""

    def __init__(self) -> None:
        self._all: list[Total | Spread] = []

    def total(self, counter: Counter, *labels: str, zero: bool = False) -> Total:
        """`zero`: is shown also before there is anything to tell."""
        if zero:
            counter.labels(*labels)
        self._all.append(total := Total(counter, *labels))
        return total

    def spread(self, histogram: Collected, *labels: str, zero: bool = False) -> Spread:
        if zero:
            histogram.labels(*labels)
        self._all.append(spread := Spread(histogram, *labels))
        return spread

    def settle(self) -> None:
        """Tells what was added up since the last time."""
        for each in self._all:
            each.settle()
