"""Days and months of budgets, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from oaicompat_proxy.core.budget import Budget, periods_at


@pytest.mark.parametrize(
    ("now", "day", "day_ends", "month", "month_ends"),
    [
        ("2026-11-30T23:59:59", "2026-11-30", "2026-12-01T00:00:00", "2026-11", "2026-12-01T00:00:00"),
        ("2026-12-31T12:00:00", "2026-12-31", "2027-01-01T00:00:00", "2026-12", "2027-01-01T00:00:00"),
        ("2028-02-28T00:00:00", "2028-02-28", "2028-02-29T00:00:00", "2028-02", "2028-03-01T00:00:00"),
        ("2027-01-31T00:00:00", "2027-01-31", "2027-02-01T00:00:00", "2027-01", "2027-02-01T00:00:00"),
    ],
)
def test_periods_are_those_of_the_calendar(now: str, day: str, day_ends: str, month: str, month_ends: str) -> None:
    def seconds(text: str) -> float:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    found = periods_at(seconds(now))
    assert [(each.kind, each.name, each.ends) for each in found] == [
        ("day", day, seconds(day_ends)),
        ("month", month, seconds(month_ends)),
    ]


def test_a_budget_has_only_the_limits_that_it_names() -> None:
    day, month = periods_at(0)
    budget = Budget(tokens_per_day=5, runs_per_month=7)
    assert list(budget.limits((day, month))) == [(day, "tokens", 5), (month, "runs", 7)]
    assert list(Budget().limits((day, month))) == []
