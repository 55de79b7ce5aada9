"""The table in the repository: ratios to the pipe of the same run, and the versions with which they were counted."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from .callgrind import INSTRUCTIONS
from .counter import Cost
from .loads import COUNTED
from .slope import total
from .strace import SYSTEM_CALLS

TABLE = Path(__file__).parent / "ratios.json"
KINDS = {"request": (INSTRUCTIONS, SYSTEM_CALLS), "delta": (INSTRUCTIONS,)}
"""Kinds of counts, by the unit. The reads of a burst are as many as the pieces in which the kernel hands it over."""
YARDSTICK = "pipe"
MEASURED = "proxy"
TOLERANCE = 0.03
"""Share by which a ratio may differ from the table's: two runs differ by less than a third of it."""
TOLERANCE_OF_CALLS = 0.15
"""The same for system calls: a request takes 15 or 16, as its bytes come in one piece or in two."""

Ratios = Mapping[str, Mapping[str, float]]
"""Load → kind of count → ratio to the pipe."""


@dataclass(frozen=True, slots=True)
class Table:
    """Ratios, and the versions with which they were counted."""

    versions: Mapping[str, str]
    ratios: Ratios


@dataclass(frozen=True, slots=True)
class Comparison:
    """The changes since the table was written."""

    grown: list[str]
    fallen: list[str]
    other_versions: list[str]
    """Versions that differ from the table's, so its ratios do not apply."""

    @property
    def failed(self) -> bool:
        return bool(self.grown) and not self.other_versions

    def lines(self) -> list[str]:
        """The comparison for a reader."""
        lines = [*self.grown, *self.fallen]
        if self.other_versions:
            lines.append(f"The table was written with other versions: {', '.join(self.other_versions)}. Nothing fails.")
        elif self.grown:
            lines.append("Make it cheaper, or write the table anew: scripts/bench --count write")
        elif self.fallen:
            lines.append("Keep the gain: scripts/bench --count write")
        return lines or [f"All ratios are within {TOLERANCE:.0%} of the table."]


def build_table(costs: Iterable[Cost]) -> Table:
    """The table of these costs."""
    by_place = {(cost.load, cost.target): cost for cost in costs}
    ratios = {
        load: {
            kind: round(total(cost.rates, kind) / total(by_place[load, YARDSTICK].rates, kind), 3)
            for kind in KINDS[COUNTED[load].unit]
        }
        for (load, target), cost in by_place.items()
        if target == MEASURED
    }
    return Table(current_versions(), ratios)


def compare(now: Table, before: Table) -> Comparison:
    """Compares the ratios that are in both tables."""
    grown: list[str] = []
    fallen: list[str] = []
    for load, kinds in now.ratios.items():
        for kind, ratio in kinds.items():
            was = before.ratios.get(load, {}).get(kind, ratio)
            tolerance = TOLERANCE_OF_CALLS if kind == SYSTEM_CALLS else TOLERANCE
            if ratio > was * (1 + tolerance):
                grown.append(f"{load}: {kind} grew from {was:.3f} to {ratio:.3f} × pipe ({ratio / was - 1:+.1%})")
            elif ratio < was * (1 - tolerance):
                fallen.append(f"{load}: {kind} fell from {was:.3f} to {ratio:.3f} × pipe ({ratio / was - 1:+.1%})")
    other = [
        f"{name} {value} (table: {before.versions.get(name, 'none')})"
        for name, value in now.versions.items()
        if before.versions.get(name) != value
    ]
    return Comparison(grown, fallen, other)


def read_table(file: Path = TABLE) -> Table:
    return Table(**json.loads(file.read_text("utf-8")))


def write_table(table: Table, file: Path = TABLE) -> None:
    text = json.dumps({"versions": table.versions, "ratios": table.ratios}, indent=2)
    file.write_text(f"{text}\n", "utf-8")


def current_versions() -> dict[str, str]:
    """Versions that change how many instructions Python code takes."""
    libraries = ("aiohttp", "uvloop", "orjson", "pydantic")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
        "libc": " ".join(platform.libc_ver()),
    }
