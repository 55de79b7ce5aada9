"""Budgets: what a key, or each of its users, may use in a calendar day or month in UTC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

DAY = 24 * 3600
"""Seconds of each day of Unix time."""

Unit = Literal["tokens", "runs"]


class Period(NamedTuple):
    """A day or a month."""

    kind: Literal["day", "month"]
    name: str
    """Such as `2026-11-30` or `2026-11`."""
    ends: float
    """Unix time at which the next one begins."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of tokens and runs in a day and in a month. None: no limit."""

    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    runs_per_day: int | None = None
    runs_per_month: int | None = None

    def limits(self, periods: Sequence[Period]) -> Iterator[tuple[Period, Unit, int]]:
        """The limits that are set, each with its period and its unit."""
        for period in periods:
            of_day = period.kind == "day"
            tokens = self.tokens_per_day if of_day else self.tokens_per_month
            runs = self.runs_per_day if of_day else self.runs_per_month
            if tokens is not None:
                yield period, "tokens", tokens
            if runs is not None:
                yield period, "runs", runs


def periods_at(now: float) -> tuple[Period, Period]:
    """The day and the month of a Unix time."""
    return _periods_of(int(now // DAY))


@lru_cache(4)
def _periods_of(number: int) -> tuple[Period, Period]:
    """`number`: days since 1970. Cached, because each request needs the same two periods all day."""
    day = datetime.fromtimestamp(number * DAY, UTC)
    next_month = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return (
        Period("day", f"{day:%Y-%m-%d}", float((number + 1) * DAY)),
        Period("month", f"{day:%Y-%m}", next_month.timestamp()),
    )
