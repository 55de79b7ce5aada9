"""Lines that describe the agent's own actions: their text, their length, and their removal from a conversation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.events import SubagentFinished, ToolFinished
from oaicompat_proxy.translation.narration import (
    MAX_PART,
    SUBAGENT_MARK,
    TOOL_MARK,
    Narrator,
    describe_subagent,
    remove,
)


def line_of(narrator: Narrator, event: ToolFinished) -> str:
    (line,) = narrator.on_tool_finished(event)
    return line


def finished(
    result: str = "42",
    *,
    call_id: str = "c1",
    failed: bool = False,
    seconds: float | None = 0.25,
    is_placeholder: bool = False,
) -> ToolFinished:
    return ToolFinished(call_id, "add", result, failed, seconds, is_placeholder)


def test_a_call_is_shown_with_arguments_result_and_duration() -> None:
    narrator = Narrator()
    narrator.add_call("c1", '{"a":19}')
    assert line_of(narrator, finished()) == '⟦tool⟧ add {"a":19} → 42 (0.2 s)'


def test_arguments_may_come_in_pieces_and_interleaved() -> None:
    narrator = Narrator()
    for call_id, piece in [("c1", '{"a"'), ("c2", '{"b"'), ("c1", ":1}"), ("c2", ":2}")]:
        narrator.add_arguments(call_id, piece)
    assert line_of(narrator, finished(call_id="c2")) == '⟦tool⟧ add {"b":2} → 42 (0.2 s)'
    assert line_of(narrator, finished(call_id="c1")) == '⟦tool⟧ add {"a":1} → 42 (0.2 s)'


def test_pieces_behind_a_result_are_those_of_another_call() -> None:
    narrator = Narrator()
    for piece in ('{"a":1}', '{"a":2}'):
        narrator.add_arguments("c1", piece)
        narrator.add_arguments("c2", piece)
        assert line_of(narrator, finished()) == f"⟦tool⟧ add {piece} → 42 (0.2 s)"
        assert line_of(narrator, finished(call_id="c2")) == f"⟦tool⟧ add {piece} → 42 (0.2 s)"


def test_the_whole_call_counts_not_the_pieces_before_it() -> None:
    narrator = Narrator()
    narrator.add_arguments("c1", '{"a":')
    narrator.add_call("c1", '{"a":1}')
    assert line_of(narrator, finished()) == '⟦tool⟧ add {"a":1} → 42 (0.2 s)'


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (finished(failed=True), "⟦tool⟧ add ✗ 42 (0.2 s)"),
        (finished(seconds=None), "⟦tool⟧ add → 42"),
        (finished(seconds=0.0), "⟦tool⟧ add → 42 (0.0 s)"),
        (finished(seconds=75.04), "⟦tool⟧ add → 42 (75.0 s)"),
        (finished("", seconds=None), "⟦tool⟧ add →"),
        (finished("one\ntwo\r\n\tthree", seconds=None), "⟦tool⟧ add → one two three"),
    ],
)
def test_what_is_not_known_is_left_out(event: ToolFinished, line: str) -> None:
    assert line_of(Narrator(), event) == line


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (SubagentFinished("researcher", "Found three papers.", False), "⟦child⟧ researcher → Found three papers."),
        (SubagentFinished("researcher", "No network", True), "⟦child⟧ researcher ✗ No network"),
        (SubagentFinished("researcher", "", False), "⟦child⟧ researcher →"),
    ],
)
def test_a_child_is_shown_by_its_last_message(event: SubagentFinished, line: str) -> None:
    assert describe_subagent(event) == line


def test_long_parts_are_shortened_and_say_so() -> None:
    narrator = Narrator()
    narrator.add_call("c1", "a" * 10_000)
    line = line_of(narrator, finished("b" * 10_000, seconds=None))
    assert line == f"⟦tool⟧ add {'a' * MAX_PART}… → {'b' * MAX_PART}…"


def test_what_just_fits_is_not_shortened() -> None:
    assert "…" not in line_of(Narrator(), finished("b" * MAX_PART))


def test_arguments_are_forgotten_with_their_call() -> None:
    narrator = Narrator()
    narrator.add_call("c1", '{"a":1}')
    first = line_of(narrator, finished())
    assert line_of(narrator, finished()) == first  # a tool that is run twice in the tick
    assert narrator.release_placeholders() == []
    assert line_of(narrator, finished()) == "⟦tool⟧ add → 42 (0.2 s)"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("No line.", "No line."),
        ("", ""),
        ("Before.\n\n⟦tool⟧ add → 42\n\nAfter.", "Before.\n\nAfter."),
        ("⟦tool⟧ add → 42\n\nAfter.", "After."),
        ("Before.\n\n⟦tool⟧ add → 42", "Before."),
        ("⟦tool⟧ add → 42", ""),
        ("Before.\n\n⟦tool⟧ a → 1\n\n⟦child⟧ b → 2\n\nAfter.", "Before.\n\nAfter."),
        ("Before.\n⟦tool⟧ a → 1\nAfter.", "Before.\nAfter."),
        ("In the ⟦tool⟧ middle.", "In the ⟦tool⟧ middle."),
        ("⟦tool⟧", "⟦tool⟧"),
        (" ⟦tool⟧ add", " ⟦tool⟧ add"),
        ("Ends with a line end.\n", "Ends with a line end.\n"),
    ],
)
def test_only_whole_lines_with_a_mark_are_removed(text: str, rest: str) -> None:
    assert remove(text) == rest


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="⟦"))


@given(before=words, arguments=st.text(), outcome=st.text(), after=words)
def test_every_narration_can_be_removed_again(before: str, arguments: str, outcome: str, after: str) -> None:
    """Nothing in a call or a result makes its line survive, and nothing of the answer is lost with it."""
    narrator = Narrator()
    narrator.add_call("c1", arguments)
    line = line_of(narrator, finished(outcome))
    rest = remove(f"{before}\n\n{line}\n\n{after}")
    assert TOOL_MARK not in rest
    assert rest.split() == f"{before}\n\n{after}".split()


@given(st.text())
def test_a_line_of_narration_is_one_line(outcome: str) -> None:
    for line in (line_of(Narrator(), finished(outcome)), describe_subagent(SubagentFinished("c", outcome, False))):
        assert len(line.splitlines()) == 1
        assert line.startswith((TOOL_MARK, SUBAGENT_MARK))


def test_a_placeholder_is_shown_only_if_its_call_is_not_the_clients() -> None:
    narrator = Narrator()
    narrator.add_call("c1", '{"a":1}')
    assert narrator.on_tool_finished(finished("[add rendered on client]", is_placeholder=True)) == []
    assert narrator.release_placeholders() == ['⟦tool⟧ add {"a":1} → [add rendered on client] (0.2 s)']
    assert narrator.release_placeholders() == []
