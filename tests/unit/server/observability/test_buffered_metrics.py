"""Buffered counters and histograms show what the library's would show, as soon as they are flushed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from oaicompat_proxy.server.observability.buffered_metrics import BufferedCounter, BufferedHistogram

BUCKETS = (0.0, 0.25, 1.0, 10.0)
AMOUNTS = st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0, 9.5, 10.0, 1024.0]) | st.integers(0, 20))


class Pair:
    """A counter and a histogram with a label."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.counter = Counter("c", "", ["label"], registry=self._registry).labels("a")
        self.histogram = Histogram("h", "", ["label"], buckets=BUCKETS, registry=self._registry).labels("b")

    def shown(self) -> bytes:
        lines = generate_latest(self._registry).splitlines()
        return b"\n".join(line for line in lines if b"_created" not in line)


@given(st.lists(AMOUNTS, max_size=4))
def test_they_show_what_the_library_shows_after_each_flush(rounds: list[list[float]]) -> None:
    direct, buffered = Pair(), Pair()
    counter, histogram = BufferedCounter(buffered.counter), BufferedHistogram(buffered.histogram)
    for amounts in rounds:
        for amount in amounts:
            direct.counter.inc(amount)
            direct.histogram.observe(amount)
            counter.inc(amount)
            histogram.observe(amount)
        counter.flush()
        histogram.flush()
        assert buffered.shown() == direct.shown()


def test_nothing_is_shown_before_a_flush() -> None:
    pair, untouched = Pair(), Pair()
    BufferedCounter(pair.counter).inc(1)
    BufferedHistogram(pair.histogram).observe(1)
    assert pair.shown() == untouched.shown()
