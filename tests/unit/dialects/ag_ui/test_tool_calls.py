"""Calls of a run: in pieces, whole, answered or left open."""

from __future__ import annotations

import pytest

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.core.events import ToolCallDelta, ToolCallHandled, ToolCallStarted, ToolFinished
from oaicompat_proxy.dialects.ag_ui import tool_calls
from oaicompat_proxy.dialects.ag_ui.tool_calls import ToolCalls


def called(*call_ids: str, include_tool_activity: bool = False) -> ToolCalls:
    calls = ToolCalls(include_tool_activity=include_tool_activity)
    for call_id in call_ids:
        calls.start(call_id, "tide")
        calls.end(call_id)
    return calls


def test_a_call_in_pieces() -> None:
    calls = ToolCalls(include_tool_activity=False)
    assert not calls.has_calls
    assert calls.start("c1", "tide") == [ToolCallStarted("c1", "tide")]
    assert calls.add("c1", '{"port":') == [ToolCallDelta("c1", '{"port":')]
    assert calls.add("c1", '"Brest"}') == [ToolCallDelta("c1", '"Brest"}')]
    assert calls.end("c1") == []
    assert calls.has_calls
    assert calls.open["c1"].arguments == '{"port":"Brest"}'


def test_a_call_without_arguments_has_none() -> None:
    calls = ToolCalls(include_tool_activity=False)
    calls.start("c1", "tide")
    assert calls.open["c1"].arguments == "{}"


def test_arguments_may_come_before_the_name() -> None:
    calls = ToolCalls(include_tool_activity=False)
    calls.add("c1", "{}")
    assert calls.start("c1", "tide") == [ToolCallStarted("c1", "tide")]
    assert calls.start("c1", "moon") == []
    assert calls.open["c1"].name == "tide"


def test_chunks_leave_out_what_was_said() -> None:
    calls = ToolCalls(include_tool_activity=False)
    assert calls.add_chunk("c1", "tide", "") == [ToolCallStarted("c1", "tide")]
    assert calls.add_chunk(None, "", "{}") == [ToolCallDelta("c1", "{}")]
    assert calls.add_chunk("c1", "tide", " ") == [ToolCallDelta("c1", " ")]
    assert calls.add_chunk("c2", "moon", "{}") == [
        ToolCallStarted("c2", "moon"),
        ToolCallDelta("c2", "{}"),
    ]
    assert calls.close_chunk("") == calls.close_chunk("") == []
    assert calls.mark_ended_as_handled() == [ToolCallHandled("c1"), ToolCallHandled("c2")]


def test_a_first_chunk_names_the_tool() -> None:
    calls = ToolCalls(include_tool_activity=False)
    calls.add("c2", "{}")
    for call_id in ("c1", "c2"):
        with pytest.raises(UpstreamError, match="toolCallName"):
            calls.add_chunk(call_id, "", "{}")


def test_chunks_go_on_with_a_call_that_has_a_name() -> None:
    calls = ToolCalls(include_tool_activity=False)
    calls.start("c1", "tide")
    assert calls.add_chunk("c1", "", "[") == [ToolCallDelta("c1", "[")]
    assert calls.add_chunk("c2", "moon", "{}")[1:] == [ToolCallDelta("c2", "{}")]
    assert calls.add_chunk("c1", "", "]") == [ToolCallDelta("c1", "]")]
    assert calls.open["c1"].arguments == "[]"
    with pytest.raises(UpstreamError, match="`toolCallName`"):
        calls.add_chunk("c1", "moon", "")
    calls.answer("c1", "06:12")
    assert calls.add_chunk("c2", "", "") == calls.add_chunk("c1", "", "{}") == []


def test_a_call_that_is_opened_again_goes_on() -> None:
    calls = ToolCalls(include_tool_activity=False)
    events = [*calls.start("c1", "tide"), *calls.add("c1", '{"port":'), *calls.end("c1")]
    events += [*calls.start("c1", "tide"), *calls.add("c1", '"Brest"}'), *calls.end("c1")]
    assert events == [ToolCallStarted("c1", "tide"), ToolCallDelta("c1", '{"port":'), ToolCallDelta("c1", '"Brest"}')]
    assert calls.open["c1"].arguments == '{"port":"Brest"}'


def test_a_call_that_is_opened_again_has_not_ended() -> None:
    calls = called("c1")
    calls.start("c1", "tide")
    assert calls.mark_ended_as_handled() == []


def test_an_answered_call_that_is_opened_again_is_still_the_agents() -> None:
    calls = called("c1")
    calls.answer("c1", "06:12")
    assert calls.start("c1", "tide") == calls.add("c1", "{}") == calls.end("c1") == []
    assert not calls.open


def test_a_hidden_call_says_nothing() -> None:
    calls = ToolCalls(include_tool_activity=True)
    assert calls.start("s1", "tide", hidden=True) == calls.add("s1", "{}") == calls.end("s1") == []
    assert calls.answer("s1", "06:12") == []
    assert calls.add_chunk("s2", "tide", "{}", owner="child") == []
    assert not calls.has_calls
    calls.start("c1", "tide")
    with pytest.raises(UpstreamError, match="mark of a sub-agent"):
        calls.check_owner("c1")


def test_waiting_calls_are_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_calls, "MAX_OPEN_CALLS", 2000)
    calls = ToolCalls(include_tool_activity=False)
    for call_id in ("c1", "c2", "c3", "c4", "c5", "c6", "c7"):
        calls.start(call_id, "tide")
    with pytest.raises(UpstreamError, match="without a result"):
        calls.start("c8", "tide")


def test_what_was_answered_gives_its_room_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_calls, "MAX_OPEN_CALLS", 2000)
    calls = ToolCalls(include_tool_activity=False)
    for number in range(50):
        calls.start(str(number), "tide")
        calls.add(str(number), "x" * 1000)
        assert calls.answer(str(number), "06:12") == [ToolCallHandled(str(number))]
    calls.start("c1", "tide")
    with pytest.raises(UpstreamError, match="without a result"):
        calls.add("c1", "x" * 2000)


def test_the_latest_answered_calls_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_calls, "MAX_ANSWERED", 2)
    calls = called("c1", "c2", "c3")
    for call_id in ("c1", "c2", "c3"):
        calls.answer(call_id, "06:12")
    assert [len(calls.start(call_id, "tide")) for call_id in ("c1", "c2", "c3")] == [1, 0, 0]


def test_an_answered_call_was_the_agents_own() -> None:
    assert called("c1").answer("c1", "06:12") == [ToolCallHandled("c1")]
    assert called("c1", include_tool_activity=True).answer("c1", "06:12") == [
        ToolCallHandled("c1"),
        ToolFinished("c1", "tide", "06:12", False, None),
    ]


def test_a_result_without_a_call_says_nothing() -> None:
    calls = called("c1", include_tool_activity=True)
    assert calls.answer("c2", "06:12") == []
    calls.answer("c1", "06:12")
    assert calls.answer("c1", "06:12") == []
    assert calls.end("c1") == []


def test_only_ended_calls_are_settled_by_what_follows() -> None:
    calls = called("c1")
    calls.start("c2", "tide")
    assert calls.mark_ended_as_handled() == [ToolCallHandled("c1")]
    assert calls.mark_ended_as_handled() == []
    assert calls.answer("c1", "late") == [ToolCallHandled("c1")]


def test_all_but_the_pending_ones_are_settled() -> None:
    assert called("c1", "c2", "c3").mark_others_as_handled(["c2"]) == [ToolCallHandled("c1"), ToolCallHandled("c3")]
