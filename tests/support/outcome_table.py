"""A table of test outcomes: a row for each subject of parametrised tests, a column for each test."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

CELL = re.compile(r"::test_(\w+)\[(.+)\]$")
OUTCOMES = {"passed": "yes", "skipped": "none", "failed": "FAILED", "error": "FAILED"}
"""The text of a cell, unless the test has set the property `shown`. Later outcomes replace earlier ones."""


def write_table(reporter: pytest.TerminalReporter, title: str, subject: str, names: Iterable[str]) -> None:
    """`names`: the subjects, as they appear in the parameters of the tests' ids."""
    rows: dict[str, dict[str, str]] = {}
    for outcome, text in OUTCOMES.items():
        for report in reporter.getreports(outcome):
            if cell := CELL.search(report.nodeid):
                column, parameters = cell.groups()
                if name := next((name for name in names if parameters == name or f"{name}-" in f"{parameters}-"), None):
                    shown = text if text == "FAILED" else dict(report.user_properties).get("shown", text)
                    rows.setdefault(name, {})[column] = shown
    if not rows:
        return
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    reporter.section(title)
    reporter.write_line(_write_row(subject, [column.replace("_", " ") for column in columns]))
    for name, row in rows.items():
        reporter.write_line(_write_row(name, [row.get(column, "") for column in columns]))


def _write_row(name: str, cells: Iterable[str]) -> str:
    return f"{name:18}" + "".join(f"{cell:>12}" for cell in cells)
