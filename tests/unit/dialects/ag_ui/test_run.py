"""The events of one run: the model's text and calls, its sub-agents, and its end."""

from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.core.errors import UpstreamError, UpstreamFrameTooLong
from oaicompat_proxy.core.events import (
    Event,
    ReasoningDelta,
    ReasoningStarted,
    RunEnded,
    RunResult,
    SubagentFinished,
    TextDelta,
    TextStarted,
    ToolCallDelta,
    ToolCallHandled,
    ToolCallStarted,
)
from oaicompat_proxy.dialects.ag_ui import run as ag_ui_run
from oaicompat_proxy.dialects.ag_ui.run import RUN_EVENTS, RunEvents

START, CONTENT, END, CHUNK = (f"TEXT_MESSAGE_{word}" for word in ("START", "CONTENT", "END", "CHUNK"))


def read_steps(run: RunEvents, *steps: tuple[str, dict[str, Any]]) -> list[Event]:
    return [event for name, fields in steps for event in run.read(name, {"type": name, **fields})]


def read(*steps: tuple[str, dict[str, Any]], include_tool_activity: bool = True, **end: Any) -> list[Event]:
    run = RunEvents(include_tool_activity=include_tool_activity)
    return [*read_steps(run, *steps), *run.finish({"type": "RUN_FINISHED", **end})]


def ended(reason: str = "") -> list[Event]:
    return [RunResult("", reason, None), RunEnded()]


def child(word: str, child_id: str = "s1", **fields: Any) -> tuple[str, dict[str, Any]]:
    return f"SUBAGENT_{word}", {"subagentRunId": child_id, **fields}


# Why the model stopped


@pytest.mark.parametrize("name", [START, CONTENT, END, CHUNK])
def test_the_reason_may_stand_on_any_event_of_the_message(name: str) -> None:
    fields = {"messageId": "a1", "delta": "x", "metadata": {"finishReason": "length"}}
    assert read((name, fields))[-2:] == ended("max_tokens")


def test_the_last_reason_counts() -> None:
    cut = (END, {"messageId": "a1", "metadata": {"finishReason": "length"}})
    assert read(cut, (END, {"messageId": "a2", "metadata": {"finishReason": "stop"}})) == ended("stop")
    assert read(cut, metadata={"finishReason": "content_filter"}) == ended("content_filter")
    assert read(cut, metadata={}) == ended("max_tokens")


def test_the_reason_of_a_sub_agent_is_its_own() -> None:
    assert read((END, {"messageId": "a1", "subagentRunId": "s1", "metadata": {"finishReason": "length"}})) == ended()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"stop_reason": "guardrail_intervened"}, "content_filter"),
        ({"stop_reason": "content_filtered"}, "content_filter"),
        ({"stop_reason": "max_tokens"}, "max_tokens"),
        *((each, "") for each in ({}, {"stop_reason": 7}, "guardrail_intervened", None, [])),
    ],
)
def test_a_guardrail_that_strands_reports_is_a_content_filter(value: Any, reason: str) -> None:
    assert read(("CUSTOM", {"name": "AgentStopped", "value": value})) == ended(reason)
    assert read(("CUSTOM", {"name": "AgentStopped", "value": value, "subagentRunId": "s1"})) == ended()


# Messages and calls


def test_a_message_that_is_opened_again_goes_on() -> None:
    pieces = [(START, {"messageId": "a1"}), (CONTENT, {"messageId": "a1", "delta": "Six"}), (END, {"messageId": "a1"})]
    assert read(*pieces, *pieces)[:4] == [TextStarted(True), TextDelta("Six"), TextStarted(False), TextDelta("Six")]


def test_thoughts_that_are_opened_again_or_together() -> None:
    begin, end = (("REASONING_MESSAGE_START", {"messageId": "z1"}), ("REASONING_MESSAGE_END", {"messageId": "z1"}))
    pieces = [("REASONING_MESSAGE_CONTENT", {"messageId": name, "delta": name}) for name in ("z1", "z2", "z1")]
    assert read(begin, *pieces, end, end)[:-2] == [
        *(ReasoningStarted(), ReasoningDelta("z1"), ReasoningDelta("z1")),
        *(ReasoningStarted(), ReasoningDelta("z2")),
    ]
    assert read(begin, pieces[0], end, begin, pieces[0], end)[:-2] == [
        *(ReasoningStarted(), ReasoningDelta("z1"), ReasoningDelta("z1")),
    ]


def test_a_call_that_goes_on_behind_a_text_is_one_call() -> None:
    chunks = [("TOOL_CALL_CHUNK", {"toolCallId": "c1", "toolCallName": "tide", "delta": each}) for each in ("{", "}")]
    assert read(chunks[0], (CHUNK, {"messageId": "a1", "delta": "Six."}), chunks[1])[:-2] == [
        *(ToolCallStarted("c1", "tide"), ToolCallDelta("c1", "{"), ToolCallHandled("c1")),
        *(TextStarted(True), TextDelta("Six."), ToolCallDelta("c1", "}")),
    ]


# Sub-agents


def test_what_continues_a_sub_agents_item_is_inside() -> None:
    marked = {"subagentRunId": "s1"}
    steps = [
        (START, {"messageId": "m1", **marked}),
        (CONTENT, {"messageId": "m1", "delta": "no", **marked}),
        (CONTENT, {"messageId": "m1", "delta": "no"}),
        ("TOOL_CALL_START", {"toolCallId": "c1", "toolCallName": "sonar", "parentMessageId": "m1"}),
        ("TOOL_CALL_ARGS", {"toolCallId": "c1", "delta": "{}"}),
        ("TOOL_CALL_END", {"toolCallId": "c1"}),
        (END, {"messageId": "m1", **marked}),
        (CHUNK, {"messageId": "m2", "delta": "no", **marked}),
        (CHUNK, {"delta": "no"}),
        ("REASONING_MESSAGE_CHUNK", {"messageId": "z1", "delta": "no", **marked}),
        ("REASONING_MESSAGE_CHUNK", {"delta": "no"}),
        ("TOOL_CALL_CHUNK", {"toolCallId": "c2", "toolCallName": "sonar", "delta": "no", **marked}),
        ("TOOL_CALL_CHUNK", {"delta": "no"}),
        ("THINKING_TEXT_MESSAGE_START", marked),
        ("THINKING_TEXT_MESSAGE_CONTENT", {"delta": "no", **marked}),
        ("THINKING_TEXT_MESSAGE_END", marked),
    ]
    assert read(*steps) == ended()


@pytest.mark.parametrize(
    ("opens", "name"),
    [(START, CONTENT), (START, END), (START, START)]
    + [("REASONING_MESSAGE_START", f"REASONING_MESSAGE_{word}") for word in ("START", "CONTENT", "END")]
    + [("TOOL_CALL_START", f"TOOL_CALL_{word}") for word in ("START", "ARGS", "END")]
    + [
        (opens, f"{kind}_CHUNK")
        for kind in ("TEXT_MESSAGE", "REASONING_MESSAGE", "TOOL_CALL")
        for opens in (f"{kind}_START", f"{kind}_CHUNK")
    ],
)
def test_a_sub_agent_that_goes_on_with_the_agents_own_item_is_refused(opens: str, name: str) -> None:
    fields = {"messageId": "a1", "toolCallId": "c1", "toolCallName": "tide", "delta": "x"}
    with pytest.raises(UpstreamError, match="mark of a sub-agent"):
        read((opens, fields), (name, {**fields, "subagentRunId": "s1"}))


def test_a_short_form_goes_on_with_the_hidden_message_of_its_id() -> None:
    chunk = (CHUNK, {"messageId": "a1", "delta": "no"})
    for hidden in ({"subagentRunId": "s1"}, {"role": "user"}):
        assert read((START, {"messageId": "a1", **hidden}), chunk) == ended()
    called = {"toolCallId": "c1", "toolCallName": "tide"}
    for start in ((START, {"messageId": "a1"}), ("TOOL_CALL_START", called)):
        hidden_start = (start[0], {**start[1], "subagentRunId": "s1"})
        assert read(hidden_start, ("TOOL_CALL_CHUNK", {**called, "delta": "{}", "parentMessageId": "a1"})) == ended()


def test_a_call_without_a_name_is_no_answer() -> None:
    pieces = ("TOOL_CALL_ARGS", {"toolCallId": "c1", "delta": "{}"}), ("TOOL_CALL_END", {"toolCallId": "c1"})
    with pytest.raises(UpstreamError, match="has not begun"):
        read(*pieces)
    assert read(pieces[1]) == ended()
    assert read(*pieces, ("TOOL_CALL_RESULT", {"toolCallId": "c1", "content": "06:12"}))[-2:] == ended()
    assert read(*pieces, (CHUNK, {"messageId": "a1", "delta": "Six."}))[-2:] == ended()


def test_a_message_without_text_hides_no_result() -> None:
    empty = (START, {"messageId": "a1"}), (CONTENT, {"messageId": "a1", "delta": ""}), (END, {"messageId": "a1"})
    assert read(*empty, result="Six.")[-2:] == [RunResult("Six.", "", None), RunEnded()]


def test_an_event_of_a_sub_agent_does_not_end_the_agents_short_form() -> None:
    first, childs = (CHUNK, {"messageId": "a1", "delta": "Six"}), ("TOOL_CALL_END", {"toolCallId": "c1"})
    steps = [first, (childs[0], {**childs[1], "subagentRunId": "s1"}), (CHUNK, {"delta": " bells"})]
    assert read(*steps)[:-2] == [TextStarted(True), TextDelta("Six"), TextDelta(" bells")]
    with pytest.raises(UpstreamError, match="without `messageId`"):
        read(first, childs, (CHUNK, {"delta": " bells"}))


def test_a_sub_agents_life_is_whole() -> None:
    start, end = child("STARTED", name="pilot"), child("FINISHED", result="Six.")
    assert read(start, end)[:-2] == [SubagentFinished("pilot", "Six.", False)]
    assert read(start, child("ERROR", message="Fog."))[:-2] == [SubagentFinished("pilot", "Fog.", True)]
    assert read(start, start, end, include_tool_activity=False) == ended()
    for broken in ([end], [start, end, end], [child("ERROR", message="Fog.")]):
        with pytest.raises(UpstreamError, match="without its beginning"):
            read(*broken)
    with pytest.raises(UpstreamError, match="still running"):
        read(start)


def test_questions_are_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ag_ui_run, "MAX_INTERRUPT_EVENTS", 1000)
    run = RunEvents(include_tool_activity=False)
    asked = ("CUSTOM", {"name": "on_interrupt", "value": "x" * 300})
    read_steps(run, asked)
    with pytest.raises(UpstreamError, match="of questions"):
        read_steps(run, asked)


# Its end


def test_a_malformed_snapshot_is_refused_where_it_is_the_answer() -> None:
    run = RunEvents(include_tool_activity=False)
    run.keep_snapshot(b'{"type":"MESSAGES_SNAPSHOT","messages":[{"role":"assistant","content":7}]}')
    with pytest.raises(UpstreamError, match="`messages`"):
        run.finish({})
    run.keep_snapshot(None)
    with pytest.raises(UpstreamFrameTooLong):
        run.finish({})
    read_steps(run, (CHUNK, {"messageId": "a1", "delta": "Six."}))
    assert run.finish({}) == ended()


def test_every_event_that_is_read_has_a_reader() -> None:
    assert {START, CONTENT, END, CHUNK, "TOOL_CALL_RESULT", "CUSTOM"} < RUN_EVENTS
