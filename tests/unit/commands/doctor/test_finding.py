from __future__ import annotations

import pytest

from oaicompat_proxy.commands.doctor.finding import Finding, Level, exit_status


@pytest.mark.parametrize(
    ("levels", "status"),
    [
        ([], 0),
        (["ok", "note"], 0),
        (["ok", "warn"], 1),
        (["bad"], 1),
        (["ok", "unknown"], 2),
        (["unknown", "warn"], 1),
    ],
)
def test_scripts_learn_whether_there_is_a_problem(levels: list[Level], status: int) -> None:
    assert exit_status([Finding("check", level, "text") for level in levels]) == status
