"""The latest snapshot of the conversation, which has what the agent has not streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.core.errors import UpstreamError, UpstreamFrameTooLong
from oaicompat_proxy.core.events import (
    Event,
    MessageCompleted,
    TextDelta,
    TextStarted,
    ToolCalled,
    ToolCallHandled,
)
from oaicompat_proxy.dialects.ag_ui.chunks import ChunkStreams
from oaicompat_proxy.dialects.ag_ui.messages import Messages
from oaicompat_proxy.dialects.ag_ui.snapshot import LastMessage, Snapshot, find_last_message
from oaicompat_proxy.dialects.ag_ui.tool_calls import ToolCalls


class Streamed:
    """A run that has streamed these calls, without results, and this text."""

    def __init__(self, *call_ids: str, text: str = "") -> None:
        self.texts = Messages(
            lambda is_new: [TextStarted(is_new)], TextDelta, ChunkStreams("TEXT_MESSAGE_CHUNK", "messageId", "role")
        )
        self.calls = ToolCalls(include_tool_activity=False)
        self.snapshot = Snapshot(self.texts, self.calls)
        self.texts.add_whole("a0", text)
        for call_id in call_ids:
            self.calls.start(call_id, "tide")
            self.calls.add(call_id, "{}")
            self.calls.end(call_id)

    def read(self, *messages: Any, pending: tuple[str, ...] = ()) -> list[Event]:
        self.snapshot.keep(frame(*messages))
        return self.snapshot.read(pending)


def frame(*messages: Any) -> bytes:
    return json.dumps({"type": "MESSAGES_SNAPSHOT", "messages": messages}).encode()


USER = {"id": "u1", "role": "user", "content": "?"}
ANSWER = {"id": "a1", "role": "assistant", "content": "Six bells."}
CALL = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": '{"port":"Brest"}'}}
CALLED = ToolCalled("c1", "tide", '{"port":"Brest"}')
CALLING = {"id": "a1", "role": "assistant", "toolCalls": [CALL]}
RESULT = {"id": "x1", "role": "tool", "content": "06:12", "toolCallId": "c1"}
OUTPUT = {**RESULT, "content": "Returning structured response: port='Brest'"}
SAID = MessageCompleted("Six bells.", "", "", None)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([USER, ANSWER], LastMessage("Six bells.", [], {})),
        ([USER, ANSWER, {"role": "reasoning"}, {"role": "activity"}], LastMessage("Six bells.", [], {})),
        ([USER, ANSWER, {**ANSWER, "content": "no", "subagentRunId": "s1"}], LastMessage("Six bells.", [], {})),
        ([ANSWER, USER], None),
        ([USER, ANSWER, RESULT], None),
        ([USER, RESULT], None),
        ([], None),
        (None, None),
        ([7], None),
        (
            [USER, {**CALLING, "content": None, "toolCalls": [CALL, {"id": "c2", "function": None}]}],
            LastMessage("", [CALLED, ToolCalled("c2", "", "")], {}),
        ),
        ([USER, CALLING, RESULT], LastMessage("", [CALLED], {"c1": "06:12"})),
        (
            [USER, CALLING, {**RESULT, "content": [{"type": "text", "text": "06"}, {"type": "text", "text": ":12"}]}],
            LastMessage("", [CALLED], {"c1": "06:12"}),
        ),
        ([CALLING, RESULT, ANSWER], LastMessage("Six bells.", [], {})),
        ([CALLING, RESULT, USER, CALLING], LastMessage("", [CALLED], {})),
    ],
)
def test_the_last_message_is_the_agents_with_results_of_its_calls(messages: Any, expected: LastMessage | None) -> None:
    assert find_last_message({"messages": messages}) == expected


def test_what_was_not_streamed_is_read_from_the_snapshot() -> None:
    assert Streamed().read(USER, ANSWER) == [SAID]
    assert Streamed().read(USER, {**ANSWER, **CALLING}) == [SAID, CALLED]
    assert Streamed().read(USER, {**ANSWER, **CALLING}, RESULT) == [SAID]
    assert Streamed(text="Seven.").read(USER, {**ANSWER, **CALLING}) == []
    assert Streamed("c2").read(USER, {**ANSWER, **CALLING}) == []


def test_a_message_without_text_does_not_hide_a_snapshot() -> None:
    run = Streamed()
    run.texts.start("a1")
    run.texts.end("a1")
    assert run.snapshot.is_wanted
    assert run.read(USER, ANSWER) == [SAID]


def test_a_call_that_was_streamed_is_left_out() -> None:
    run = Streamed("c1")
    run.calls.mark_ended_as_handled()
    assert run.read({**ANSWER, "toolCalls": [CALL, {**CALL, "id": "c2"}]}) == [SAID, CALLED._replace(call_id="c2")]
    run.calls.answer("c1", "")
    assert run.read(CALLING) == []


def test_a_result_in_the_snapshot_makes_the_call_the_agents() -> None:
    assert Streamed("c1").read(USER, CALLING, RESULT) == [ToolCallHandled("c1")]
    assert Streamed("c1", text="Let me look.").read(USER, CALLING, RESULT) == [ToolCallHandled("c1")]
    assert Streamed("c1").read(USER, CALLING, RESULT, pending=("c1",)) == []
    assert Streamed("c1").read(USER, CALLING, RESULT, USER, CALLING) == []
    assert Streamed("c1").read(USER, CALLING, {**RESULT, "toolCallId": "c2"}) == []


def test_the_output_of_a_tool_strategy_is_the_answer() -> None:
    started = TextStarted(new_message=True)
    assert Streamed("c1").read(USER, CALLING, OUTPUT) == [ToolCallHandled("c1"), started, TextDelta("{}")]
    assert Streamed().read(USER, {**ANSWER, **CALLING}, OUTPUT) == [
        SAID,
        ToolCallHandled("c1"),
        started,
        TextDelta('{"port":"Brest"}'),
    ]
    answered = Streamed("c1")
    answered.calls.answer("c1", "")
    assert answered.read(USER, CALLING, OUTPUT) == []


def test_the_latest_snapshot_counts() -> None:
    run = Streamed()
    assert run.snapshot.read() == []
    assert run.read(USER) == []
    assert run.read(USER, ANSWER) == [SAID]
    run.snapshot.drop()
    assert run.snapshot.read() == []


def test_a_snapshot_that_was_too_long_is_an_error_until_the_next() -> None:
    run = Streamed()
    run.snapshot.keep(None)
    with pytest.raises(UpstreamFrameTooLong):
        run.snapshot.read()
    assert run.read(ANSWER)


@pytest.mark.parametrize(
    "malformed", [frame({**ANSWER, "content": 7}), b'{"type":"MESSAGES_SNAPSHOT"}', b"no JSON", None]
)
def test_a_malformed_snapshot_is_an_error_where_it_is_needed(malformed: bytes | None) -> None:
    run, calling = Streamed(), Streamed("c1")
    for each in (run, calling):
        each.snapshot.keep(malformed)
    with pytest.raises(UpstreamError):
        run.snapshot.read()
    assert calling.snapshot.read() == []
