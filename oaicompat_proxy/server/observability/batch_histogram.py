"""Adds many observations to a histogram at once.

The library takes a lock for each observation, searches the buckets and, with several workers, writes into a file: 1 µs
for each. To count a thousand at once takes a tenth of that. This is the only module that uses private names of
prometheus-client.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

from prometheus_client import Histogram


def observe_all(histogram: Histogram, amounts: Iterable[float]) -> None:
    """As `histogram.observe` for each amount. `histogram`: one series."""
    ordered = sorted(amounts)
    histogram._sum.inc(sum(ordered))
    bounds = histogram._upper_bounds  # of the buckets; the last is infinite
    ends = [0, *(bisect_right(ordered, bound) for bound in bounds)]
    for bucket, (begin, end) in zip(histogram._buckets, pairwise(ends), strict=True):
        if begin < end:
            bucket.inc(end - begin)
