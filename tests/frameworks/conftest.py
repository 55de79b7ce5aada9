"""Prints what each framework showed, as a table."""

from __future__ import annotations

import pytest

from tests.frameworks.frameworks import read_frameworks
from tests.support.outcome_table import write_table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    write_table(terminalreporter, "what each framework showed", "framework", read_frameworks())
