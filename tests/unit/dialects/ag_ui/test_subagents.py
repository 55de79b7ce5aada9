"""The sub-agents that run, and what is shown of one that ends."""

from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.core.events import SubagentFinished
from oaicompat_proxy.dialects.ag_ui import subagents as ag_ui_subagents
from oaicompat_proxy.dialects.ag_ui.subagents import Subagents

PILOT: dict[str, Any] = {"name": "pilot"}


def test_the_end_of_a_sub_agent_is_shown_with_its_name() -> None:
    subagents = Subagents(are_shown=True)
    assert subagents.start(PILOT, "s1") == subagents.start({"name": "other"}, "s1") == []
    assert subagents.are_running
    assert subagents.end({"result": "Six."}, "s1") == [SubagentFinished("pilot", "Six.", False)]
    assert not subagents.are_running
    subagents.start(PILOT, "s1")
    assert subagents.fail({"message": "Fog."}, "s1") == [SubagentFinished("pilot", "Fog.", True)]


@pytest.mark.parametrize(
    ("are_shown", "start", "end"),
    [
        (False, PILOT, {"result": "Six."}),
        (True, {**PILOT, "parentSubagentRunId": "s0"}, {"result": "Six."}),
        (True, PILOT, {"outcome": {"type": "suspended"}}),
    ],
    ids=["none is shown", "a sub-agent's own", "suspended"],
)
def test_a_sub_agent_that_is_not_shown(are_shown: bool, start: dict[str, Any], end: dict[str, Any]) -> None:
    subagents = Subagents(are_shown=are_shown)
    subagents.start(start, "s1")
    assert subagents.end(end, "s1") == []


def test_an_end_without_a_beginning_is_an_error() -> None:
    subagents = Subagents(are_shown=True)
    with pytest.raises(UpstreamError, match="without its beginning"):
        subagents.end({}, "s1")
    with pytest.raises(UpstreamError, match="without its beginning"):
        subagents.fail({"message": "Fog."}, "s1")


def test_running_sub_agents_are_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ag_ui_subagents, "MAX_SUBAGENTS", 1000)
    subagents = Subagents(are_shown=True)
    for _ in range(10):
        subagents.start(PILOT, "s1")
        subagents.end({}, "s1")
    for name in ("s1", "s2", "s3"):
        subagents.start(PILOT, name)
    with pytest.raises(UpstreamError, match="running sub-agents"):
        subagents.start(PILOT, "s4")
