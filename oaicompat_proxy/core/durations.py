"""Durations as text."""

from __future__ import annotations

import math


def format_duration(seconds: float) -> str:
    """`20ms`, `1s` or `6m0s`: in whole milliseconds, rounded up."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
