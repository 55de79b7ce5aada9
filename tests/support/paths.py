"""Paths of the files that tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""
TESTS = ROOT / "tests"
GOLDEN = TESTS / "golden" / "cases"
RECORDINGS = ROOT.parent / "shared" / "recordings"
"""Recordings of real gateways. They are not part of the repository."""
