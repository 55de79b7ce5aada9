"""Parses `/metrics` with Prometheus' own parser."""

from __future__ import annotations

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.proxy import Proxy


class Exposition:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: list[Metric] = list(text_string_to_metric_families(text))

    def total(self, sample: str, **labels: str) -> float:
        """The sum of the samples with this name and these labels, and any others."""
        return sum(
            each.value
            for family in self.families
            for each in family.samples
            if each.name == sample and labels.items() <= each.labels.items()
        )

    def labels(self, sample: str) -> list[dict[str, str]]:
        return [each.labels for family in self.families for each in family.samples if each.name == sample]


async def scrape(front: Proxy) -> Exposition:
    received = await front.get("/metrics")
    assert received.status == 200, received.body
    return Exposition(received.body.decode())
