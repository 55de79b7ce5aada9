"""One streamed message: what opens and closes what."""

import json
from itertools import count
from typing import Any

import pytest

from oaicompat_proxy.demo.frames import FrameFactory, Stamps
from oaicompat_proxy.demo.message_stream import Message, RunFailed
from oaicompat_proxy.demo.script import FailRun, Pause, Raw, ReportError, Say, ScriptedToolCall, Step, Think


def message() -> Message:
    numbers = count(1)
    return Message(FrameFactory("s", "e", Stamps(lambda: 0, lambda: "id"), lambda: next(numbers)), "model")


def played(*steps: Step) -> tuple[Message, list[dict[str, Any]]]:
    stream = message()
    items = [item for step in steps for item in stream.stream(step)] + [*stream.close()]
    frames = [item for item in items if isinstance(item, bytes)]
    return stream, [json.loads(frame.removeprefix(b"data: "))["data"] for frame in frames]


def types(*steps: Step) -> list[str]:
    return [data["type"] for data in played(*steps)[1]]


def call(name: str, **more: Any) -> ScriptedToolCall:
    return ScriptedToolCall(name, "add", ("{", "}"), **more)


def test_a_call_closes_the_text_and_takes_the_next_place() -> None:
    _, frames = played(Say(("a",)), call("1"))
    places = {data["type"]: data["blockIndex"] for data in frames[1:]}
    text = ["content_start", "content_delta", "content_end", "content"]
    assert [*places] == [*text, "tool_call_start", "tool_call_delta", "tool_call_end", "tool_call"]
    assert (places["content"], places["tool_call"]) == (0, 1)


def test_reasoning_stays_open_to_the_end() -> None:
    assert types(Think(("a",)), Say(("b",)))[-4:] == [
        "content_end",
        "content",
        "reasoning_end",
        "reasoning",
    ]


def test_parallel_calls_share_their_place_and_interleave() -> None:
    _, frames = played(call("1", interleaved=call("2")))
    positions = [(data["callId"], data["blockIndex"]) for data in frames if data["type"] == "tool_call_delta"]
    assert positions == [("1", 0), ("2", 0), ("1", 0), ("2", 0)]


def test_an_unended_call_is_closed_with_the_message() -> None:
    assert types(call("1", ended=False), Say(("after",)))[-4:] == [
        "content_end",
        "content",
        "tool_call_end",
        "tool_call",
    ]


def test_a_whole_call_has_no_deltas() -> None:
    assert types(call("1", deltas=False)) == ["message_start", "tool_call"]


def test_the_content_of_the_message() -> None:
    stream, _ = played(Think(("t",)), Say(("a", "b")), call("1", copies=2))
    assert [block["type"] for block in stream.content] == ["reasoning", "text", "tool_use", "tool_use"]
    assert stream.answer == "ab"


def test_a_message_begins_with_its_first_word() -> None:
    assert types(Pause()) == ["message_start"]
    stream = message()
    assert [*stream.stream(Raw(b"raw"))] == [b"raw"]
    with pytest.raises(RunFailed, match="no"):
        [*stream.stream(FailRun("no"))]


def test_a_report_is_not_the_end() -> None:
    _, frames = played(Say(("a",)), ReportError("overloaded", "code"), Say(("b",)))
    assert [data["type"] for data in frames].count("content_delta") == 2
    assert frames[3]["error"] == {"message": "overloaded", "code": "code"}
