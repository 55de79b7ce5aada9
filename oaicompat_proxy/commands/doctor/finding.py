"""What the doctor found, and what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Level = Literal["ok", "note", "unknown", "warn", "bad"]

ALL_GOOD, FINDINGS, UNTESTED = 0, 1, 2


class Finding(NamedTuple):
    check: str
    level: Level
    """`note`: nothing is wrong, but it is as well to know. `unknown`: it could not be tested."""
    text: str
    mend: str = ""
    """The line of configuration that mends it, and whose line it is."""


def exit_status(findings: Iterable[Finding]) -> int:
    """For scripts: 0 all good, 1 something to mend, 2 something could not be tested."""
    levels = {finding.level for finding in findings}
    if levels & {"warn", "bad"}:
        return FINDINGS
    return UNTESTED if "unknown" in levels else ALL_GOOD
