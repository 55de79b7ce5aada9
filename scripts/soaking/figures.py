"""The process's memory and descriptors, second by second, and the detection of leaks."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression
from typing import NamedTuple

STEEPEST = 256.0
"""Kilobytes a minute by which memory may grow: 15 MB an hour would be found within a day."""
ENOUGH_TO_JUDGE = 60.0
"""Seconds that a slope needs: what is taken for good at the start of a process looks like a leak for less."""


MOST_TOLD = 10


class Sample(NamedTuple):
    seconds: float
    """Since the load began."""
    kilobytes: int
    """Resident memory."""
    descriptors: int


def sample(pid: int, seconds: float) -> Sample:
    """Reads a process's figures from /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return Sample(seconds, int(resident.split()[1]), len(os.listdir(f"/proc/{pid}/fd")))


@dataclass
class Figures:
    before: Sample
    """The idle process, after a first answer."""
    under_load: list[Sample] = field(default_factory=list)
    after: Sample | None = None
    """The idle process after the load."""
    left: list[str] = field(default_factory=list)
    """The prompts of sessions that are still open and should not be."""

    @property
    def slope(self) -> float | None:
        """Kilobytes a minute over the second half; None if that is too short to be judged."""
        half = self.under_load[len(self.under_load) // 2 :]
        if len(half) < 2 or half[-1].seconds - half[0].seconds < ENOUGH_TO_JUDGE:
            return None
        return 60 * linear_regression([each.seconds for each in half], [each.kilobytes for each in half]).slope

    def faults(self) -> list[str]:
        """One line for each fault."""
        faults = []
        if self.slope is not None and self.slope > STEEPEST:
            faults.append(f"memory grows by {self.slope:.0f} KB a minute, more than {STEEPEST:.0f}")
        if self.after is not None and self.after.descriptors > self.before.descriptors:
            faults.append(f"{self.after.descriptors - self.before.descriptors} descriptors are left open")
        if self.left:
            faults.append(f"{len(self.left)} sessions of the gateway are left open: {', '.join(self.left[:MOST_TOLD])}")
        return faults
