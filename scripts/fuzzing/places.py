"""The directories of seeds, and the layout of an input."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "cases"
RECORDINGS = ROOT.parent / "shared" / "recordings"

HEADER = 4
"""Bytes in front of an input: how it is used, and three that decide where it is cut."""
