"""The spans of an agent's run."""

from __future__ import annotations

from oaicompat_proxy.core.events import (
    MessageCompleted,
    ReasoningDelta,
    RunEnded,
    RunFailed,
    SubagentFinished,
    TextDelta,
    TickEnded,
    TickStarted,
    ToolCallDelta,
    ToolCalled,
    ToolCallEnded,
    ToolCallStarted,
    ToolFinished,
    ToolStarted,
)
from oaicompat_proxy.pipeline.time_line import MAX_SPANS, Event, TimeLine


def spans(*events: Event, heads: dict[int, bytes] | None = None) -> list[tuple[str, str, float, float | None]]:
    """One event a millisecond; `heads`: frames without events."""
    line = TimeLine(frozenset({b"spawn_start"}))
    for ms, event in enumerate(events):
        if head := (heads or {}).get(ms):
            line.add(float(ms), ms, [], head)
        line.add(float(ms), ms, [event], b"")
    return [(each.lane, each.name, each.begin, each.end) for each in line.spans]


def test_a_tick_with_reasoning_and_text() -> None:
    found = spans(
        TickStarted(), ReasoningDelta("a"), ReasoningDelta("b"), TextDelta("c"), TickEnded(False, "stop", None)
    )
    assert found == [("tick", "tick 1", 0, 4), ("reasoning", "", 1, 2), ("text", "", 3, 3)]


def test_a_call_is_one_span_and_its_tool_another() -> None:
    found = spans(
        TickStarted(),
        ToolCallStarted("c", "add"),
        ToolCallDelta("c", "{}"),
        ToolCallEnded("c"),
        ToolCalled("c", "add", "{}"),
        ToolStarted("c", "add"),
        ToolFinished("c", "add", "42", False, None),
    )
    assert found[1:] == [("call", "add", 1, 4), ("tool", "add", 5, 6)]


def test_a_whole_message_is_text_unless_it_was_streamed() -> None:
    whole = MessageCompleted("Hi", "", "stop", None)
    assert [lane for lane, *_ in spans(TickStarted(), TextDelta("Hi"), whole)] == ["tick", "text"]
    assert [lane for lane, *_ in spans(TickStarted(), whole)] == ["tick", "text"]


def test_a_tool_that_only_ends_has_the_time_that_it_says() -> None:
    ended = ToolFinished("c", "add", "42", False, 0.001)
    assert spans(TickStarted(), TickStarted(), TickStarted(), ended)[-1] == ("tool", "add", 2, 3)


def test_a_child_begins_with_a_frame_that_has_no_event() -> None:
    found = spans(TickStarted(), SubagentFinished("Child", "", False), heads={1: b'data: {"event":"spawn_start"}'})
    assert found[-1] == ("child", "Child", 1, 1)


def test_a_failure_ends_all_that_goes_on() -> None:
    found = spans(TickStarted(), ToolStarted("c", "add"), RunFailed("boom"))
    assert found == [("tick", "tick 1", 0, 2), ("tool", "add", 1, 2), ("failure", "RunFailed", 2, 2)]


def test_what_goes_on_has_no_end() -> None:
    assert spans(TickStarted())[0][3] is None
    assert spans(TickStarted(), RunEnded())[0][3] == 1


def test_spans_are_bounded() -> None:
    assert len(spans(*[TickStarted()] * (MAX_SPANS + 10))) == MAX_SPANS
