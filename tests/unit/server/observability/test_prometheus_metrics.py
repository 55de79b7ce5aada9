"""The counter and the histogram show what the library's show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from oaicompat_proxy.server.observability.prometheus_metrics import RunCounter, RunHistogram

BUCKETS = (0.0, 0.25, 1.0, 10.0)
AMOUNTS = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.250001, 1.0, 9.5, 10.0, 1e9]) | st.floats(0, 20))


def shown(counter: type[Counter], histogram: type[Histogram], amounts: list[float]) -> bytes:
    registry = CollectorRegistry()
    counted = counter("c", "", ["label"], registry=registry)
    plain = counter("plain", "", registry=registry)
    observed = histogram("h", "", ["label"], buckets=BUCKETS, registry=registry)
    for amount in amounts:
        counted.labels("a").inc(amount)
        plain.inc()
        observed.labels("b").observe(amount)
    lines = generate_latest(registry).splitlines()
    return b"\n".join(line for line in lines if b"_created" not in line)


@given(AMOUNTS)
def test_they_show_what_the_library_shows(amounts: list[float]) -> None:
    assert shown(RunCounter, RunHistogram, amounts) == shown(Counter, Histogram, amounts)


@pytest.mark.parametrize(("metric", "name"), [(Counter, "_value"), (Histogram, "_sum"), (Histogram, "_buckets")])
def test_the_library_has_the_private_names(metric: type[Counter | Histogram], name: str) -> None:
    assert name in vars(metric("x", "", registry=None))
