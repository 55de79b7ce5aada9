"""Prints what each client showed, as a table."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

CELL = re.compile(r"::test_(\w+)\[(.+)\]$")
OUTCOMES = {"passed": "yes", "failed": "FAILED", "error": "FAILED"}
"""What stands in a cell, unless the test has something better to show there."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One row for each client, one column for each test."""
    rows: dict[str, dict[str, str]] = {}
    for outcome, text in OUTCOMES.items():
        for report in terminalreporter.getreports(outcome):
            if cell := CELL.search(report.nodeid):
                column, client = cell.groups()
                rows.setdefault(client, {})[column] = dict(report.user_properties).get("shown", text)
    if not rows:
        return
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    terminalreporter.section("what each client showed")
    write = terminalreporter.write_line
    width = max(map(len, rows))
    write(_row("client", width, [column.replace("_", " ") for column in columns]))
    for client, row in rows.items():
        write(_row(client, width, [row.get(column, "") for column in columns]))


def _row(client: str, width: int, cells: Iterable[str]) -> str:
    return client.ljust(width) + "".join(f"{cell:>12}" for cell in cells)
