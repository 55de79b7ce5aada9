"""Calls of a run: in pieces, whole, answered or left open."""

from __future__ import annotations

from oaicompat_proxy.dialects.ag_ui.tool_calls import ToolCalls
from oaicompat_proxy.events import (
    ToolCallDelta,
    ToolCalled,
    ToolCallEnded,
    ToolCallSettled,
    ToolCallStarted,
    ToolFinished,
)


def called(*call_ids: str, with_deeds: bool = False) -> ToolCalls:
    calls = ToolCalls(with_deeds=with_deeds)
    for call_id in call_ids:
        calls.start(call_id, "tide")
        calls.end(call_id)
    return calls


def test_a_call_in_pieces() -> None:
    calls = ToolCalls(with_deeds=False)
    assert not calls.said
    assert calls.start("c1", "tide") == [ToolCallStarted("c1", "tide")]
    assert calls.add("c1", '{"port":') == [ToolCallDelta("c1", '{"port":')]
    assert calls.add("c1", '"Brest"}') == [ToolCallDelta("c1", '"Brest"}')]
    assert calls.end("c1") == [ToolCallEnded("c1")]
    assert calls.said
    assert calls.open["c1"].arguments == '{"port":"Brest"}'


def test_a_call_without_arguments_is_whole_at_its_end() -> None:
    calls = ToolCalls(with_deeds=False)
    calls.start("c1", "tide")
    assert calls.end("c1") == [ToolCalled("c1", "tide", "")]
    assert calls.open["c1"].arguments == "{}"


def test_arguments_may_come_before_the_name() -> None:
    calls = ToolCalls(with_deeds=False)
    calls.add("c1", "{}")
    calls.start("c1", "tide")
    calls.start("c1", "moon")
    assert calls.open["c1"].name == "tide"


def test_chunks_leave_out_what_was_said() -> None:
    calls = ToolCalls(with_deeds=False)
    assert calls.add_chunk("c1", "tide", "") == [ToolCallStarted("c1", "tide")]
    assert calls.add_chunk("", "", "{}") == [ToolCallDelta("c1", "{}")]
    assert calls.add_chunk("c1", "tide", " ") == [ToolCallDelta("c1", " ")]
    assert calls.add_chunk("c2", "moon", "{}") == [
        ToolCallEnded("c1"),
        ToolCallStarted("c2", "moon"),
        ToolCallDelta("c2", "{}"),
    ]
    assert calls.close_chunks() == [ToolCallEnded("c2")]
    assert calls.close_chunks() == []


def test_an_answered_call_was_the_agents_own() -> None:
    assert called("c1").answer("c1", "06:12") == [ToolCallSettled("c1")]
    assert called("c1", with_deeds=True).answer("c1", "06:12") == [
        ToolCallSettled("c1"),
        ToolFinished("c1", "tide", "06:12", False, None),
    ]


def test_a_result_without_a_call_says_nothing() -> None:
    calls = called("c1", with_deeds=True)
    assert calls.answer("c2", "06:12") == []
    calls.answer("c1", "06:12")
    assert calls.answer("c1", "06:12") == []
    assert calls.end("c1") == []


def test_only_ended_calls_are_settled_by_what_follows() -> None:
    calls = called("c1")
    calls.start("c2", "tide")
    assert calls.settle_ended() == [ToolCallSettled("c1")]
    assert calls.settle_ended() == []
    assert calls.answer("c1", "late") == [ToolCallSettled("c1")]


def test_all_but_the_pending_ones_are_settled() -> None:
    assert called("c1", "c2", "c3").settle_all_but(["c2"]) == [ToolCallSettled("c1"), ToolCallSettled("c3")]
