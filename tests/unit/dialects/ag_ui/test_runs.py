"""Which of several runs is the answer, and when its last word counts."""

from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.core.events import (
    Event,
    RunEnded,
    RunFailed,
    RunResult,
    RunStarted,
    TextDelta,
    TextStarted,
    TickStarted,
)
from oaicompat_proxy.dialects.ag_ui import runs as ag_ui_runs
from oaicompat_proxy.dialects.ag_ui.runs import AFTER_RUN_WAIT, NEXT_RUN_WAIT, REPLAY_WAIT, Runs

ENDED = [RunResult("", "", None), RunEnded()]


def new_runs() -> Runs:
    return Runs("r1", include_tool_activity=False)


def say(runs: Runs, text: str) -> list[Event]:
    data: dict[str, Any] = {"type": "TEXT_MESSAGE_CHUNK", "messageId": "a1", "delta": text}
    return runs.read("TEXT_MESSAGE_CHUNK", data)


def text_events(text: str) -> list[Event]:
    return [TextStarted(new_message=True), TextDelta(text)]


def run(runs: Runs, name: str, text: str) -> list[Event]:
    return [*runs.start(name), *say(runs, text), *runs.finish({})]


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, TextDelta)]


def test_the_wanted_run_is_read_as_it_comes_and_ends_with_the_stream() -> None:
    runs = new_runs()
    assert runs.flush_delay is None
    assert run(runs, "r1", "Six.") == [RunStarted(), *text_events("Six.")]
    assert (runs.finished, runs.flush_delay) == (True, AFTER_RUN_WAIT)
    assert runs.flush(at_end=True) == ENDED
    assert runs.flush(at_end=True) == []
    assert runs.finished


def test_runs_before_the_wanted_one_are_replays() -> None:
    runs = new_runs()
    events = [*run(runs, "r0", "no"), *run(runs, "r00", "nor this"), *run(runs, "r1", "Six."), *runs.flush(at_end=True)]
    assert texts(events) == ["Six."]
    assert events[-2:] == ENDED


def test_a_replay_that_failed_is_not_the_answers_failure() -> None:
    runs = new_runs()
    events = [*runs.start("r0"), *say(runs, "no"), *runs.fail({"message": "It broke."})]
    events += [*run(runs, "r1", "Six."), *runs.flush(at_end=True)]
    assert events == [RunStarted(), RunStarted(), *text_events("Six."), *ENDED]


def test_the_last_run_is_the_answer_of_a_naming_agent() -> None:
    runs = new_runs()
    assert texts([*run(runs, "r0", "no"), *run(runs, "own", "Six.")]) == []
    assert (runs.finished, runs.flush_delay) == (True, NEXT_RUN_WAIT)
    assert runs.flush(at_end=False) == [*text_events("Six."), *ENDED]


def test_a_failed_run_under_another_name_is_a_failure_if_nothing_follows() -> None:
    runs = new_runs()
    assert texts([*runs.start("own"), *say(runs, "Six"), *runs.fail({"message": "It broke."})]) == []
    assert runs.flush(at_end=True) == [*text_events("Six"), RunFailed("It broke.")]


def test_a_slow_run_under_another_id_is_read() -> None:
    runs = new_runs()
    assert [*runs.start("own"), *say(runs, "Six")] == [RunStarted()]
    assert runs.flush_delay == REPLAY_WAIT
    assert runs.flush(at_end=False) == text_events("Six")
    assert say(runs, ".") == [TextDelta(".")]
    assert (runs.flush_delay, runs.finished) == (None, False)
    runs.finish({})
    assert runs.flush_delay == AFTER_RUN_WAIT
    with pytest.raises(UpstreamError, match="another run"):
        runs.start("r1")


def test_a_run_under_another_name_longer_than_the_buffer_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ag_ui_runs, "MAX_BUFFERED", 1000)
    runs = new_runs()
    assert [*runs.start("own"), *say(runs, "x" * 500)] == [RunStarted()]
    assert texts(say(runs, "y" * 500)) == ["x" * 500, "y" * 500]


def test_a_run_under_another_name_that_is_cut_says_nothing() -> None:
    runs = new_runs()
    runs.start("own")
    say(runs, "Half")
    assert runs.flush(at_end=True) == []
    assert not runs.finished


def test_a_run_behind_the_wanted_one_is_not_the_answer() -> None:
    runs = new_runs()
    run(runs, "r1", "Six.")
    events = [*run(runs, "r2", "no"), *runs.start("r3"), *runs.fail({"message": "It broke."})]
    assert events == []
    assert runs.flush(at_end=True) == ENDED


def test_the_wanted_run_may_go_on() -> None:
    runs = new_runs()
    events = [*run(runs, "r1", "Six."), *run(runs, "r2", "no"), *run(runs, "r1", "Seven."), *runs.flush(at_end=True)]
    assert texts(events) == ["Six.", "Seven."]
    kinds = [type(event) for event in events]
    assert (kinds.count(TickStarted), kinds.count(RunEnded)) == (1, 1)


def test_a_failure_behind_the_end_takes_it_back() -> None:
    runs = new_runs()
    run(runs, "r1", "Six.")
    assert runs.fail({"message": "It broke."}) == [RunFailed("It broke.")]
    assert runs.flush(at_end=True) == []


def test_a_failure_before_any_run_is_one() -> None:
    assert new_runs().fail({"message": "It broke."}) == [RunFailed("It broke.")]


@pytest.mark.parametrize("first", ["r1", "r0"])
def test_a_run_within_a_run_is_refused(first: str) -> None:
    runs = new_runs()
    runs.start(first)
    assert runs.start(first) == []
    with pytest.raises(UpstreamError, match="before it had ended another"):
        runs.start("r2")


def test_text_in_front_of_a_run_is_refused_when_the_run_begins() -> None:
    runs = new_runs()
    say(runs, "Six.")
    with pytest.raises(UpstreamError, match="before it had ended another"):
        runs.start("r1")


def test_what_follows_the_end_is_refused_unless_it_says_nothing() -> None:
    runs = new_runs()
    run(runs, "r1", "Six.")
    assert runs.read("TEXT_MESSAGE_END", {"messageId": "a1"}) == []
    with pytest.raises(UpstreamError, match="TEXT_MESSAGE_CHUNK event after the end"):
        say(runs, "Seven.")


def test_an_end_that_is_said_twice_is_one() -> None:
    runs = new_runs()
    run(runs, "r1", "Six.")
    runs.finish({"outcome": {"type": "cancelled"}})
    assert runs.flush(at_end=True) == ENDED


def test_a_stream_without_a_beginning_is_read_all_the_same() -> None:
    runs = new_runs()
    assert [*say(runs, "Six."), *runs.finish({}), *runs.flush(at_end=True)] == [*text_events("Six."), *ENDED]
