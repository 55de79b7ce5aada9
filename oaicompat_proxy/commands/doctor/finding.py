"""A finding of the doctor, with its fix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Level = Literal["ok", "note", "unknown", "warn", "bad"]

ALL_GOOD, PROBLEMS, UNTESTED = 0, 1, 2


class Finding(NamedTuple):
    check: str
    level: Level
    """`note`: worth knowing, but not a problem. `unknown`: could not be tested."""
    text: str
    fix: str = ""
    """The program to configure, and the line of configuration that solves the problem."""


def exit_status(findings: Iterable[Finding]) -> int:
    """The exit status: 0 no problem, 1 a problem, 2 something could not be tested."""
    levels = {finding.level for finding in findings}
    if levels & {"warn", "bad"}:
        return PROBLEMS
    return UNTESTED if "unknown" in levels else ALL_GOOD
