"""Real recordings of AG-UI frameworks where they are at hand, and golden transcripts of the same forms.

The recordings are not part of the repository; `../shared/recordings/ag-ui` holds them where the project is developed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.paths import GOLDEN, RECORDINGS
from tests.support.pipeline import Options, collected, read_events, translate

AG_UI = RECORDINGS / "ag-ui"


class Expected(NamedTuple):
    """The question or the tool calls that the client gets."""

    name: str
    arguments: Any


def question(message: str, tool: str, arguments: Any) -> Expected:
    return Expected("confirm_tool_call", {"message": message, "tool": tool, "arguments": arguments})


BOOK = question("Book the flight for 900 EUR?", "", {})
EXPECTED = {
    AG_UI / "af-confirm.sse": question("Approve running danger?", "danger", {"x": 1}),
    AG_UI / "langgraph-interrupt-default.sse": BOOK,
    AG_UI / "langgraph-interrupt-outcome.sse": BOOK,
    AG_UI / "mastra-suspend.sse": question("Allow danger?", "danger", {"x": 1}),
    AG_UI / "agno-client_tool.sse": Expected("client_weather", {"city": "Paris"}),
    AG_UI / "adk-client_tool.sse": Expected("client_weather", {"city": "Paris"}),
    GOLDEN / "ag_ui_confirm_changes_asked.native.sse": question(
        "Approve running launch?", "launch", {"ship": "Pen Duick", "reason": "race"}
    ),
    GOLDEN / "ag_ui_on_interrupt_asked.native.sse": question("Cast off at 06:12 for 900 EUR?", "", {}),
    GOLDEN / "ag_ui_suspend_asked.native.sse": question("Allow launch?", "launch", {"ship": "Pen Duick"}),
}
THERE = {path: expected for path, expected in EXPECTED.items() if path.exists()}


def test_the_transcripts_of_our_own_are_there() -> None:
    assert [path for path in EXPECTED if path.parent == GOLDEN and path not in THERE] == []


@pytest.mark.parametrize("path", THERE, ids=lambda path: path.stem)
def test_the_client_gets_the_question_or_its_own_call(path: Path) -> None:
    options = Options(frozenset({"client_weather"}), confirmations="ask", dialect="ag-ui")
    outcome = translate(read_events([path.read_bytes()], dialect="ag-ui"), options)
    (choice,) = json.loads(collected(outcome, options))["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == EXPECTED[path]


@pytest.mark.parametrize(
    "path", [path for path in THERE if EXPECTED[path].name == "confirm_tool_call"], ids=lambda path: path.stem
)
def test_without_anybody_to_ask_it_is_an_error(path: Path) -> None:
    outcome = translate(read_events([path.read_bytes()], dialect="ag-ui"), Options(dialect="ag-ui"))
    assert outcome.failure is not None
    assert "waits for" in str(outcome.failure)
