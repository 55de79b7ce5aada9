"""The number of Hypothesis examples: all, or a few in a run without slow tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

ALL, QUICK = "all", "quick"
"""Hypothesis' profiles for a whole run and for one without slow tests; `conftest.py` loads one of them."""
FEW = 15

# a busy machine is no fault of the examples
settings.register_profile(ALL, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(QUICK, settings.get_profile(ALL), max_examples=FEW)


def at_most(count: int) -> int:
    """This number, or FEW in a quick run if that is smaller."""
    return min(count, FEW) if settings.get_current_profile_name() == QUICK else count


def examples(count: int, parent: settings | None = None) -> settings:
    """Hypothesis settings for this number of examples, or fewer in a quick run."""
    return settings(parent, max_examples=at_most(count), deadline=None)
