"""Whole executions: ticks, usage, endings."""

import json
from itertools import count
from typing import Any

from oaicompat_proxy.demo.agents import AGENTS
from oaicompat_proxy.demo.execution import Execution, RunContext
from oaicompat_proxy.demo.frames import FrameFactory, Stamps
from oaicompat_proxy.demo.scenarios import script
from oaicompat_proxy.demo.script import FailRun, Say, Script, ScriptedToolCall, Tick, Usage
from oaicompat_proxy.demo.tool_runner import AwaitConfirmation

USER = {"role": "user", "content": [{"type": "text", "text": "one two"}], "id": "m1"}
CONFIRMED = ScriptedToolCall("c1", "danger", ("{}",), "done", confirm=True)


def execution_of(played_script: Script, user: dict[str, Any] | None = USER, *timeline: dict[str, Any]) -> Execution:
    ids, numbers = count(1), count(1)
    frame_factory = FrameFactory("s", "e", Stamps(lambda: 0, lambda: f"id-{next(ids)}"), lambda: next(numbers))
    return Execution(played_script, frame_factory, RunContext(AGENTS[0], (), timeline), [user] if user else [])


def data_of(items: list[Any], event: str) -> list[dict[str, Any]]:
    frames = [json.loads(item.removeprefix(b"data: ")) for item in items if isinstance(item, bytes)]
    return [frame["data"] for frame in frames if frame["event"] == event]


def test_usage_is_summed_over_ticks() -> None:
    ticks = (Tick((Say(("a",)),), usage=Usage(1, 2), should_continue=True), Tick((Say(("b",)),), usage=Usage(10, 20)))
    items = [*execution_of(Script(ticks)).run()]
    assert [data["usage"]["totalTokens"] for data in data_of(items, "tick_end")] == [3, 30]
    total = {"inputTokens": 11, "outputTokens": 22, "totalTokens": 33, "ticks": 2}
    assert data_of(items, "result")[0]["result"]["usage"] == total
    assert data_of(items, "execution_end")[0]["usage"] == total


def test_words_are_counted_unless_usage_is_given() -> None:
    items = [*execution_of(script(Say(("a b ", "c")))).run()]
    assert data_of(items, "message_end")[0]["usage"] == {
        "inputTokens": 2,
        "outputTokens": 3,
        "totalTokens": 5,
    }


def test_a_failure_counts_finished_ticks_only() -> None:
    failing = Script((Tick((Say(("a",)),), usage=Usage(1, 1), should_continue=True), Tick((FailRun("no"),))))
    execution = execution_of(failing)
    items = [*execution.run()]
    (end,) = data_of(items, "execution_end")
    assert (end["usage"]["ticks"], end["tick"], end["output"], end["newTimelineEntries"]) == (1, 2, None, [])
    assert data_of(items, "error") == [{"error": "no"}]
    assert execution.closing_frames() == []


def test_an_abort_has_no_error_in_its_end() -> None:
    execution = execution_of(script(Say(("a", "b"))))
    items = execution.run()
    next(items)
    frames = execution.abort_frames()
    (end,) = data_of(list(frames), "execution_end")
    assert end["aborted"] is True
    assert "error" not in end
    assert data_of(list(frames), "error") == [{"error": "Execution aborted"}]


def test_the_prompt_holds_the_history() -> None:
    past = {"kind": "message", "message": {"role": "user", "content": [{"type": "text", "text": "before"}]}}
    items = [*execution_of(script(Say(("a",))), USER, past).run()]
    messages = data_of(items, "model_request")[0]["input"]["messages"]
    assert [message["content"][0]["text"] for message in messages] == ["before", "one two"]
    assert [data["timelineIndex"] for data in data_of(items, "entry_committed")] == [1, 2]


def test_confirmation_stops_the_execution_until_answered() -> None:
    items = execution_of(script(CONFIRMED)).run()
    before = []
    for item in items:
        before.append(item)
        if isinstance(item, AwaitConfirmation):
            break
    assert before[-1] == AwaitConfirmation("c1")
    assert data_of(before, "tool_confirmation_required")[0]["message"] == "Allow danger to execute?"
    after = [items.send(False), *items]
    assert data_of(after, "tool_confirmation_result")[0]["confirmed"] is False
    assert data_of(after, "tool_result")[0]["isError"] is True
