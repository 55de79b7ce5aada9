"""A histogram shows the same, whether it got its observations one by one or all at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from oaicompat_proxy.server.observability.batch_histogram import observe_all

BUCKETS = (0.0, 0.25, 1.0, 10.0)
AMOUNTS = st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0, 9.5, 10.0, 1024.0]) | st.integers(0, 20))


class Scene:
    """A histogram with a label."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.histogram = Histogram("h", "", ["label"], buckets=BUCKETS, registry=self._registry).labels("b")

    def shown(self) -> bytes:
        lines = generate_latest(self._registry).splitlines()
        return b"\n".join(line for line in lines if b"_created" not in line)


@given(st.lists(AMOUNTS, max_size=4))
def test_a_batch_shows_what_its_observations_show(rounds: list[list[float]]) -> None:
    direct, batched = Scene(), Scene()
    for amounts in rounds:
        for amount in amounts:
            direct.histogram.observe(amount)
        observe_all(batched.histogram, amounts)
        assert batched.shown() == direct.shown()
