"""What a run waits for, carried to the client and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ag_ui.core import ResumeEntry
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.dialects.ag_ui.interrupts import Waiting, resume, waiting_calls, write_waiting
from oaicompat_proxy.turn import Answer, Call

LAUNCH = Waiting("i1", "c1", "launch")
ANCHOR = Waiting("i2", "c2", "anchor")
QUESTION = Waiting("i3")


def answered(*waiting: Waiting, confirmed: bool = True, reason: str = "", text: str = "") -> list[dict[str, Any]]:
    entries = resume(Answer(write_waiting(list(waiting)), confirmed, reason, text))
    for entry in entries:
        ResumeEntry.model_validate(entry)
    return entries


@given(st.lists(st.builds(Waiting, st.text(), st.text(min_size=1), st.text()), min_size=1), st.booleans())
def test_everything_that_waits_gets_the_answer(waiting: list[Waiting], confirmed: bool) -> None:
    assert answered(*waiting, confirmed=confirmed) == [
        {"interruptId": each.interrupt_id, "status": "resolved", "payload": {"approved": confirmed}} for each in waiting
    ]


def test_a_no_may_have_its_reason() -> None:
    (entry,) = answered(LAUNCH, confirmed=False, reason="Too windy.", text="Too windy.")
    assert entry["payload"] == {"approved": False, "reason": "Too windy."}


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ("Brest", "Brest"),
        ('{"port": "Brest"}', {"port": "Brest"}),
        ("42", 42),
        ("[" * 100_000, "[" * 100_000),
        ("", {"approved": True}),
    ],
)
def test_a_question_of_no_tool_gets_what_was_said(text: str, payload: Any) -> None:
    (entry,) = resume(Answer(write_waiting([QUESTION]), True, "", text))
    assert entry["payload"] == payload


@pytest.mark.parametrize(
    ("waiting", "arguments", "calls"),
    [
        ([LAUNCH], '{"ship":"Pen Duick"}', [Call("c1", "launch", '{"ship":"Pen Duick"}')]),
        ([LAUNCH], "[1]", [Call("c1", "launch", "[1]")]),
        ([LAUNCH, ANCHOR], '[{"a":1},{}]', [Call("c1", "launch", '{"a": 1}'), Call("c2", "anchor", "{}")]),
        ([LAUNCH, QUESTION, ANCHOR], "[1, 2, 3]", [Call("c1", "launch", "1"), Call("c2", "anchor", "3")]),
        ([LAUNCH, ANCHOR], "[1]", [Call("c1", "launch", "{}"), Call("c2", "anchor", "{}")]),
        ([LAUNCH, ANCHOR], "changed", [Call("c1", "launch", "{}"), Call("c2", "anchor", "{}")]),
        ([QUESTION], "{}", []),
    ],
)
def test_the_agents_own_calls_stand_behind_the_question(
    waiting: list[Waiting], arguments: str, calls: list[Call]
) -> None:
    assert waiting_calls(Call(write_waiting(waiting), "confirm", arguments)) == calls


def test_the_word_is_short_and_plain() -> None:
    assert json.loads(write_waiting([LAUNCH])) == [["i1", "c1", "launch"]]
