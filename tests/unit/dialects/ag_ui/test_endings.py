"""The end of a run: success, failure, or an interrupt."""

from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.core.events import (
    ConfirmationRequired,
    Event,
    RunEnded,
    RunFailed,
    RunResult,
    ToolCallHandled,
    Usage,
)
from oaicompat_proxy.dialects.ag_ui.endings import read_end, read_error, stop_reason_of
from oaicompat_proxy.dialects.ag_ui.tool_calls import ToolCalls


def end(
    calls: ToolCalls | None = None, *, customs: list[Any] | None = None, silent: bool = False, **fields: Any
) -> list[Event]:
    finished = {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1", **fields}
    return read_end(finished, calls or ToolCalls(include_tool_activity=False), customs or [], silent=silent)


def called(**names: str) -> ToolCalls:
    calls = ToolCalls(include_tool_activity=False)
    for call_id, name in names.items():
        calls.start(call_id, name)
    return calls


ENDED = [RunResult("", "", None), RunEnded()]


@pytest.mark.parametrize(
    "outcome",
    [
        *(None, "success", "unheard of", {"type": "success"}, {"type": "unheard of"}),
        *({"type": "success", "pendingToolCallIds": each} for each in (None, [])),
    ],
)
def test_a_run_without_another_outcome_went_well(outcome: Any) -> None:
    assert end(outcome=outcome) == ENDED


@pytest.mark.parametrize("outcome", ["interrupt", {"type": "interrupt"}, {"type": "interrupt", "interrupts": []}])
def test_a_run_that_waits_for_nothing_is_no_success(outcome: Any) -> None:
    with pytest.raises(UpstreamError, match="does not say to what"):
        end(outcome=outcome)


@pytest.mark.parametrize("beside", [{"interrupt": {"id": "i1", "message": "?"}}, {"interrupts": [{"message": "?"}]}])
def test_an_interrupt_stood_beside_its_outcome_before(beside: dict[str, Any]) -> None:
    _, question = end(outcome="interrupt", **beside)
    assert isinstance(question, ConfirmationRequired)
    assert question.message == "?"


def test_its_usage_is_sent_before_its_last_event() -> None:
    assert end(usage=[{"inputTokens": 4, "outputTokens": 2}]) == [RunResult("", "", Usage(4, 2, 6)), RunEnded()]


def test_a_result_is_the_answer_of_a_run_that_said_nothing() -> None:
    assert end(silent=True, result="Six bells.") == [RunResult("Six bells.", "", None), RunEnded()]
    assert end(result="Six bells.") == end(silent=True, result={"text": "Six bells."}) == ENDED


def test_calls_that_are_not_pending_are_nobody_elses() -> None:
    outcome = {"type": "success", "pendingToolCallIds": ["c2"]}
    assert end(called(c1="tide", c2="moon"), outcome=outcome) == [ToolCallHandled("c1"), *ENDED]


@pytest.mark.parametrize("outcome", ["cancelled", {"type": "cancelled"}])
def test_a_cancelled_run_is_no_answer(outcome: Any) -> None:
    (failure,) = end(outcome=outcome)
    assert isinstance(failure, RunFailed)
    assert failure.aborted


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        *((each, "max_tokens") for each in ("length", "LENGTH", "max_tokens", "max-output-tokens")),
        *((each, "content_filter") for each in ("content_filter", "content-filter", "guardrail_intervened", "SAFETY")),
        *((each, each) for each in ("stop", "something new")),
        ("tool-calls", "tool_calls"),
        *((each, "") for each in ("", None, 7, ["length"], {"type": "length"})),
    ],
)
def test_why_the_model_stopped_stands_in_the_metadata(event: Any, reason: str) -> None:
    assert stop_reason_of({"metadata": {"finishReason": event}}) == reason


@pytest.mark.parametrize("metadata", [None, {}, "length", 7])
def test_without_a_word_on_it_nothing_is_known(metadata: Any) -> None:
    assert stop_reason_of({"metadata": metadata}) == stop_reason_of({}) == ""


def test_the_reason_is_sent_with_the_end() -> None:
    ended = read_end(
        {"type": "RUN_FINISHED"}, ToolCalls(include_tool_activity=False), [], silent=False, stop_reason="max_tokens"
    )
    assert ended == [RunResult("", "max_tokens", None), RunEnded()]


INTERRUPT = {"id": "i1", "reason": "tool_call", "toolCallId": "c1", "message": "Launch?"}
ON_INTERRUPT = {"type": "CUSTOM", "name": "on_interrupt", "value": "Which port?"}


def question_of(events: list[Event]) -> ConfirmationRequired:
    """The last event; a run that waits has no other end."""
    result, question = events
    assert result == RunResult("", "", None)
    assert isinstance(question, ConfirmationRequired)
    return question


def test_a_run_that_waits_is_not_over() -> None:
    outcome = {"type": "interrupt", "interrupts": [INTERRUPT]}
    assert question_of(end(called(c1="launch"), outcome=outcome, silent=True, result="no")).message == "Launch?"
    assert question_of(end(customs=[ON_INTERRUPT], silent=True, result="no")).message == "Which port?"


def test_the_outcome_counts_where_the_events_say_the_same() -> None:
    outcome = {"type": "interrupt", "interrupts": [INTERRUPT]}
    assert question_of(end(called(c1="launch"), outcome=outcome, customs=[ON_INTERRUPT])).message == "Launch?"


def test_calls_on_which_a_run_ends_may_wait_for_a_human() -> None:
    *_, ended = end(called(c1="launch"))
    assert isinstance(ended, RunEnded)
    assert ended.waits_for is not None
    assert ended.waits_for.name == "launch"
    assert end(called(c1="launch"), outcome={"type": "success", "pendingToolCallIds": ["c1"]}) == ENDED


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"message": "It broke."}, "It broke."),
        ({"message": "Slow down", "code": "rate_limit"}, "Slow down (rate_limit)"),
        ({"message": "rate_limit: slow down", "code": "rate_limit"}, "rate_limit: slow down"),
        ({"code": "overloaded"}, " (overloaded)"),
        ({"message": "Slow down", "code": 429}, "Slow down (429)"),
        ({"message": None, "code": [7]}, ""),
    ],
)
def test_a_failure_is_its_message_and_its_code(fields: dict[str, Any], message: str) -> None:
    assert read_error(fields) == RunFailed(message)
