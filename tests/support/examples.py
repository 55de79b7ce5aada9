"""How many examples of a law are tried: all of them, or a few where slow tests are left out."""

from __future__ import annotations

from hypothesis import settings

QUICK = "quick"
"""Hypothesis' profile for a run without slow tests; `conftest.py` loads it."""
FEW = 15

settings.register_profile(QUICK, max_examples=FEW)


def at_most(count: int) -> int:
    """This many, or fewer in a quick run."""
    return min(count, FEW) if settings.get_current_profile_name() == QUICK else count


def examples(count: int, parent: settings | None = None) -> settings:
    """Settings of a law that tries this many examples, or fewer in a quick run."""
    return settings(parent, max_examples=at_most(count), deadline=None)
