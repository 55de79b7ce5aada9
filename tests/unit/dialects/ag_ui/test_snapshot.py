"""The latest snapshot of the conversation, which has the answer of a run without text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.core.errors import UpstreamError, UpstreamFrameTooLong
from oaicompat_proxy.core.events import Event, MessageCompleted, ToolCalled
from oaicompat_proxy.dialects.ag_ui.snapshot import Snapshot, read_snapshot


def answer(snapshot: Snapshot, *streamed: str) -> list[Event]:
    return snapshot.read(lambda call_id: call_id in streamed)


def frame(*messages: Any) -> bytes:
    return json.dumps({"type": "MESSAGES_SNAPSHOT", "messages": messages}).encode()


USER = {"id": "u1", "role": "user", "content": "?"}
ANSWER = {"id": "a1", "role": "assistant", "content": "Six bells."}
CALL = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": '{"port":"Brest"}'}}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([USER, ANSWER], [MessageCompleted("Six bells.", "", "", None)]),
        (
            [USER, ANSWER, {"role": "reasoning", "content": "no"}, {"role": "activity"}],
            [MessageCompleted("Six bells.", "", "", None)],
        ),
        (
            [USER, ANSWER, {**ANSWER, "content": "no", "subagentRunId": "s1"}],
            [MessageCompleted("Six bells.", "", "", None)],
        ),
        ([ANSWER, USER], []),
        ([USER, ANSWER, {"role": "tool", "content": "06:12", "toolCallId": "c1"}], []),
        ([], []),
        (None, []),
        ([7], []),
        (
            [USER, {"role": "assistant", "content": None, "toolCalls": [CALL, {"id": "c2", "function": None}]}],
            [
                MessageCompleted("", "", "", None),
                ToolCalled("c1", "tide", '{"port":"Brest"}'),
                ToolCalled("c2", "", ""),
            ],
        ),
    ],
)
def test_the_last_message_of_a_snapshot_counts_if_it_is_the_agents(messages: Any, expected: list[Event]) -> None:
    assert read_snapshot({"messages": messages}) == expected


def test_the_latest_snapshot_counts() -> None:
    snapshot = Snapshot()
    assert answer(snapshot) == []
    snapshot.keep(frame(USER))
    snapshot.keep(frame(USER, ANSWER))
    assert answer(snapshot) == [MessageCompleted("Six bells.", "", "", None)]
    snapshot.drop()
    assert answer(snapshot) == []


def test_a_call_that_was_streamed_is_left_out() -> None:
    snapshot = Snapshot()
    snapshot.keep(frame({**ANSWER, "toolCalls": [CALL, {**CALL, "id": "c2"}]}))
    assert [each for each in answer(snapshot, "c1") if isinstance(each, ToolCalled)] == [
        ToolCalled("c2", "tide", '{"port":"Brest"}')
    ]


def test_a_snapshot_that_was_too_long_is_an_error_until_the_next() -> None:
    snapshot = Snapshot()
    snapshot.keep(None)
    with pytest.raises(UpstreamFrameTooLong):
        answer(snapshot)
    snapshot.keep(frame(ANSWER))
    assert answer(snapshot)


@pytest.mark.parametrize("malformed", [frame({**ANSWER, "content": 7}), b'{"type":"MESSAGES_SNAPSHOT"}', b"no JSON"])
def test_a_malformed_snapshot_is_an_error_where_it_is_read(malformed: bytes) -> None:
    snapshot = Snapshot()
    snapshot.keep(malformed)
    with pytest.raises(UpstreamError):
        answer(snapshot)
