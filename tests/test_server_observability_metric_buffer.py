"""What is added up is told as if it had been told one by one."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from oaicompat_proxy.server.observability.metric_buffer import MOST_NOTED, Collected, Tallies

BOUNDS = (0.1, 1.0, 10.0)

amounts = st.one_of(st.sampled_from(BOUNDS), st.integers(0, 20).map(float), st.integers(0, 99).map(lambda n: n / 64))


@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), amounts), max_size=20), max_size=4))
def test_a_histogram_is_as_if_it_had_observed_each(batches: list[list[tuple[str, float]]]) -> None:
    """Settled after each batch."""
    at_once, one_by_one = CollectorRegistry(), CollectorRegistry()
    expected = Histogram("h", "text", ["label"], buckets=BOUNDS, registry=one_by_one)
    tallies, histogram = Tallies(), Collected("h", "text", ["label"], buckets=BOUNDS, registry=at_once)
    spreads = {label: tallies.spread(histogram, label) for label in "ab"}
    for batch in batches:
        for label, amount in batch:
            spreads[label].note(amount)
            expected.labels(label).observe(amount)
        tallies.settle()
        assert _samples(at_once) == _samples(one_by_one)


def test_many_amounts_are_as_good_as_few() -> None:
    at_once, one_by_one = CollectorRegistry(), CollectorRegistry()
    expected = Histogram("h", "text", ["label"], buckets=BOUNDS, registry=one_by_one)
    tallies = Tallies()
    spread = tallies.spread(Collected("h", "text", ["label"], buckets=BOUNDS, registry=at_once), "a")
    for number in range(3 * MOST_NOTED + 1):
        spread.note(number % 101 / 8)
        expected.labels("a").observe(number % 101 / 8)
    tallies.settle()
    assert _samples(at_once) == _samples(one_by_one)


def _samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): round(sample.value, 9)
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_the_last_bucket_has_no_bound() -> None:
    assert list(Collected("h", "text", buckets=BOUNDS, registry=None).bounds) == [*BOUNDS, math.inf]


def test_a_counter_is_told_the_sum_once() -> None:
    registry = CollectorRegistry()
    tallies, counter = Tallies(), Counter("c", "text", ["label"], registry=registry)
    total = tallies.total(counter, "a")
    total.count += 2
    total.count += 3
    assert 'c_total{label="a"}' not in generate_latest(registry).decode()
    for _ in range(2):
        tallies.settle()
        assert 'c_total{label="a"} 5.0' in generate_latest(registry).decode()


def test_there_is_no_series_before_there_is_something_to_tell_unless_it_is_wanted() -> None:
    registry = CollectorRegistry()
    counter = Counter("c", "text", ["label"], registry=registry)
    histogram = Collected("h", "text", ["label"], buckets=BOUNDS, registry=registry)
    tallies = Tallies()
    tallies.total(counter, "late"), tallies.spread(histogram, "late")
    tallies.total(counter, "early", zero=True), tallies.spread(histogram, "early", zero=True)
    tallies.settle()
    told = generate_latest(registry).decode()
    assert 'c_total{label="early"} 0.0' in told
    assert 'h_count{label="early"} 0.0' in told
    assert "late" not in told
