"""Frames of an Agentick gateway: which become events, which are never buffered, and which end a run."""

import json
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest

from oaicompat_proxy.core.errors import UpstreamError, UpstreamFrameTooLong
from oaicompat_proxy.core.events import (
    Event,
    MessageCompleted,
    MessageEnded,
    ModelFailed,
    RunEnded,
    RunFailed,
    RunResult,
    RunStarted,
    TextCited,
    TextDelta,
    TickEnded,
    TickStarted,
    ToolCalled,
    ToolCallHandled,
    ToolCallStarted,
    ToolFinished,
    ToolStarted,
    Usage,
)
from oaicompat_proxy.dialects.agentick.parsers import DUPLICATES, PARSERS, TOOL_ACTIVITY
from oaicompat_proxy.dialects.agentick.reader import EventReader
from oaicompat_proxy.dialects.agentick.run_state import END_PREFIX_BYTES, RESULT_PREFIX_BYTES

MAX_FRAME = 64 * 1024
MEGABYTE = 1024 * 1024
RUN = "5ea00001-0000-4000-8000-00000000c0de"
CHILD = "5ea00002-0000-4000-8000-00000000c0de"


def frame(name: str, /, data: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """A frame as the gateway writes it; `data` for the synthetic ones, which lack every common field."""
    base = {"type": name, "executionId": RUN, "id": "evt_1", "sequence": 1, "tick": 1, "timestamp": "2027-01-01"}
    value = {
        "type": "event",
        "event": name,
        "sessionId": "harbor:r1",
        "data": {**base, **fields} if data is None else data,
    }
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def read(*frames: bytes, include_tool_activity: bool = False, max_frame: int = MAX_FRAME) -> list[Event]:
    return list(EventReader(max_frame=max_frame, include_tool_activity=include_tool_activity).feed(b"".join(frames)))


START = frame("execution_start")
DONE = frame("execution_end", {})
MESSAGE = {"role": "assistant", "content": [{"type": "text", "text": "Six."}]}
WHOLE = MessageCompleted("Six.", "", "stop", None)
COPY_FRAMES = {
    "message": frame("message", message=MESSAGE, stopReason="stop"),
    "model_response": frame("model_response", modelOutput={"message": MESSAGE, "stopReason": "stop"}),
    "entry_committed": frame("entry_committed", entry={"kind": "message", "message": MESSAGE}, stopReason="stop"),
}


def end(**fields: Any) -> bytes:
    """The real `execution_end`; the history comes after the needed fields."""
    history = fields.pop("output", {"timeline": []})
    data = {"aborted": False, **fields, "usage": {}, "output": history, "newTimelineEntries": []}
    if path := data.pop("spawnPath", None):
        data["spawnPath"] = path
    return frame("execution_end", **data)


# What is never kept

NEVER_NEEDED = [
    *("compiled", "model_request", "provider_request", "context_update", "content", "reasoning", "reasoning_start"),
    *("reasoning_end", "spawn_start", "fork_start", "tool_confirmation_result", "execution", "tick", "channel"),
    *("method:chunk", "config:changed", "something_new"),
]


@pytest.mark.parametrize("name", NEVER_NEEDED)
def test_what_the_answer_does_not_need_is_never_kept(name: str) -> None:
    """Twice the largest frame, and no JSON: it can only be thrown away unread."""
    hostile = frame(name, prompt="SECRET" * MAX_FRAME)[:-20] + b"}}}\xff\n\n"
    assert read(START, hostile, DONE) == [RunStarted(), RunEnded()]


def test_ten_megabytes_of_prompts_are_thrown_away_while_they_arrive() -> None:
    reader = EventReader(max_frame=MAX_FRAME)
    head = frame("compiled", system="")[:-6]
    piece = b"x" * 16 * 1024
    tracemalloc.start()
    try:
        list(reader.feed(head))
        for _ in range(10 * MEGABYTE // len(piece)):
            assert list(reader.feed(piece)) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 128 * 1024
    assert list(reader.feed(b'"}}\n\n' + DONE)) == [RunEnded()]


def result(text: str, **fields: Any) -> bytes:
    data = {"callId": "c1", "name": "tide", "result": {"content": [{"type": "text", "text": text}]}, **fields}
    value = {"type": "event", "event": "tool_result", "sessionId": "s", "data": {"type": "tool_result", **data}}
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def test_results_are_read_only_with_the_agents_own_tools() -> None:
    finished = result("06:12")
    assert read(finished) == [ToolCallHandled("c1")]
    assert read(finished, include_tool_activity=True) == [ToolFinished("c1", "tide", "06:12", False, None)]


@pytest.mark.parametrize("text", ["[tide rendered on client]", "[moon rendered on client]"])
def test_a_placeholder_settles_nothing(text: str) -> None:
    """Agentick puts it in the place of the result of a tool that the client has to run."""
    is_placeholder = "tide" in text
    assert read(result(text)) == ([] if is_placeholder else [ToolCallHandled("c1")])
    (finished,) = read(result(text), include_tool_activity=True)
    assert isinstance(finished, ToolFinished)
    assert finished.is_placeholder == is_placeholder


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 4096, 10 * MEGABYTE])
def test_a_long_result_is_read_by_its_head(size: int) -> None:
    long = b"".join([START, frame("tool_result_start", callId="c1", name="tide"), result("x" * MEGABYTE), DONE])
    reader = EventReader(max_frame=2 * RESULT_PREFIX_BYTES)
    events = [event for place in range(0, len(long), size) for event in reader.feed(long[place : place + size])]
    assert events == [RunStarted(), ToolStarted("c1", "tide"), ToolCallHandled("c1"), RunEnded()]


def test_a_long_result_of_a_child_settles_nothing() -> None:
    """The mark of a child stands behind it, but a child runs while the tool of its parent does."""
    start = frame("tool_result_start", callId="c0", name="dive")
    childs = result("x" * RESULT_PREFIX_BYTES, spawnPath=["s1"])
    assert read(START, start, childs, result("06:12", callId="c0")) == [
        RunStarted(),
        ToolStarted("c0", "dive"),
        ToolCallHandled("c0"),
    ]


@pytest.mark.parametrize("name", COPY_FRAMES)
@pytest.mark.parametrize("sign", ["message_start", "content_delta", "reasoning_delta"])
def test_a_copy_of_a_streamed_message_is_never_kept(name: str, sign: str) -> None:
    streamed = frame(sign, delta="Six.")
    hostile = frame(name, message="x" * MAX_FRAME)[:-20] + b"}}}\xff\n\n"
    assert not [event for event in read(streamed, hostile) if isinstance(event, MessageCompleted)]


@pytest.mark.parametrize("name", COPY_FRAMES)
def test_the_first_copy_of_a_message_that_did_not_stream_is_kept(name: str) -> None:
    stop_reason = "" if name == "entry_committed" else "stop"
    assert read(COPY_FRAMES[name]) == [WHOLE._replace(stop_reason=stop_reason)]


def test_later_copies_are_not() -> None:
    assert read(*COPY_FRAMES.values()) == [WHOLE]
    assert read(COPY_FRAMES["model_response"], COPY_FRAMES["message"]) == [WHOLE]


def test_each_tick_has_a_message_of_its_own() -> None:
    tick = frame("tick_start", tick=2)
    assert read(COPY_FRAMES["message"], tick, COPY_FRAMES["message"]) == [WHOLE, TickStarted(), WHOLE]


@pytest.mark.parametrize("call", ["tool_call_start", "tool_call"])
def test_a_message_that_calls_a_tool_is_kept_for_what_it_used(call: str) -> None:
    events = read(frame("message_start"), frame(call, callId="c1", name="tide"), COPY_FRAMES["message"])
    assert events[-1] == WHOLE
    assert isinstance(events[0], ToolCallStarted | ToolCalled)


def test_what_the_user_said_is_not_taken_for_an_answer() -> None:
    entries = [
        frame("entry_committed", entry={"message": {"role": role, "content": [{"type": "text", "text": "x"}]}})
        for role in ("user", "tool", "system")
    ]
    assert read(*entries, COPY_FRAMES["entry_committed"]) == [WHOLE._replace(stop_reason="")]


# Whose event is it?


@pytest.mark.parametrize("name", [*PARSERS, *TOOL_ACTIVITY, *DUPLICATES, "execution_end"])
def test_a_childs_events_stay_inside(name: str) -> None:
    known = {"delta": "CHILD", "message": MESSAGE, "error": {"message": "x"}, "modelOutput": {"message": MESSAGE}}
    event = frame(name, spawnPath=["s1"], **known)
    assert read(START, event, include_tool_activity=True) == [RunStarted()]


def test_a_childs_message_does_not_hide_the_parents() -> None:
    child = frame("content_delta", delta="CHILD", spawnPath=["s1"])
    assert read(child, COPY_FRAMES["message"]) == [WHOLE]


# What makes an end

FAILED = end(error={"message": "It broke.", "name": "Error"}, output=None)
ABORTED = end(aborted=True, output=None)

ENDS: dict[str, tuple[list[bytes], list[Event]]] = {
    "the run's own is the last word": ([end()], [RunEnded()]),
    "the empty one behind it says nothing new": ([end(), DONE], [RunEnded()]),
    "the empty one alone is the last word": ([DONE], [RunEnded()]),
    "an end of something else is not": ([end(executionId="other")], []),
    "an end with an error": ([FAILED], [RunFailed("It broke.")]),
    "an end with an error that is a text": ([end(error="It broke.")], [RunFailed("It broke.")]),
    "an end with an error without a text": ([end(error={"name": "Error"})], [RunFailed("")]),
    "an end from outside": ([ABORTED], [RunFailed("Execution aborted", aborted=True)]),
    "the gateway's own error": ([frame("error", {"error": "It broke."})], [RunFailed("It broke.")]),
    "the gateway's own word for an end from outside": (
        [frame("error", {"error": "Execution aborted"})],
        [RunFailed("Execution aborted", aborted=True)],
    ),
    "an unknown app": (
        [frame("error", {"error": 'Unknown app "x". Available: a'})],
        [RunFailed('Unknown app "x". Available: a', unknown_app=True)],
    ),
    "the model's error is not the end": ([frame("error", error={"message": "busy"})], [ModelFailed("busy")]),
    "nor is the engine's": ([frame("engine_error", error={"message": "busy"})], [ModelFailed("busy")]),
    "the result is not the end": ([frame("result", result={"response": "Six."})], [RunResult("Six.", "", None)]),
    "an end with an error that says nothing": ([end(error={})], [RunFailed("")]),
    "a failed run has two words for it": ([FAILED, frame("error", {"error": "It broke."})], [RunFailed("It broke.")]),
    "a run that waited slips in behind it": (
        [end(), frame("execution_start"), frame("tick_start"), frame("content_delta", delta="not mine"), DONE],
        [RunEnded()],
    ),
    "the gateway fails behind it": ([end(), frame("error", {"error": "It broke."})], [RunEnded()]),
    "what follows is no frame": ([end(), b"data: hello\n\n"], [RunEnded()]),
}


@pytest.mark.parametrize(("frames", "expected"), ENDS.values(), ids=ENDS)
def test_what_makes_an_end(frames: list[bytes], expected: list[Event]) -> None:
    assert read(START, *frames) == [RunStarted(), *expected]


@pytest.mark.parametrize(("frames", "expected"), ENDS.values(), ids=ENDS)
def test_it_knows_when_the_run_is_over(frames: list[bytes], expected: list[Event]) -> None:
    reader = EventReader(max_frame=MAX_FRAME)
    list(reader.feed(b"".join([START, *frames])))
    assert reader.finished == any(isinstance(event, RunEnded | RunFailed) for event in expected)


def test_a_run_that_is_joined_in_its_middle_has_one_end() -> None:
    """`/events` begins wherever the run is."""
    reader = EventReader(max_frame=MAX_FRAME, resumed=True)
    frames = [frame("content_delta", delta="Six."), COPY_FRAMES["message"], end()]
    assert list(reader.feed(b"".join(frames))) == [TextDelta("Six."), RunEnded()]
    assert reader.finished


def test_a_run_that_is_joined_in_its_middle_is_not_ended_by_a_child() -> None:
    reader = EventReader(max_frame=MAX_FRAME, resumed=True)
    childs = [end(executionId=CHILD, spawnPath=["s1"]), long_end(executionId=CHILD, spawnPath=["s1"])]
    assert list(reader.feed(b"".join([frame("content_delta", delta="Six."), *childs]))) == [TextDelta("Six.")]
    assert list(reader.feed(long_end())) == [RunEnded()]


# The real end carries the whole history


def long_end(**fields: Any) -> bytes:
    history = {"timeline": [{"message": {"role": "user", "content": [{"type": "text", "text": "x" * MEGABYTE}]}}]}
    return end(**{"output": history, **fields})


@pytest.mark.parametrize("size", [1, 4096, 10 * MEGABYTE])
def test_an_end_with_a_megabyte_of_history_is_read_by_its_head(size: int) -> None:
    data = START + frame("content_delta", delta="Six.") + long_end() + frame("content_delta", delta="no") + DONE
    reads = [data[place : place + size] for place in range(0, len(data), size)] if size > 1 else [data]
    reader = EventReader(max_frame=2 * RESULT_PREFIX_BYTES)
    assert [event for read_ in reads for event in reader.feed(read_)] == [RunStarted(), TextDelta("Six."), RunEnded()]


def test_a_failure_is_read_from_the_head_of_a_long_end() -> None:
    assert read(START, long_end(error={"message": "It broke."})) == [RunStarted(), RunFailed("It broke.")]
    assert read(START, long_end(aborted=True))[-1] == RunFailed("Execution aborted", aborted=True)


def test_a_long_end_of_another_run_is_not_ours() -> None:
    """The mark of a child comes after the history, so only the id shows it."""
    childs = long_end(executionId=CHILD, spawnPath=["s1"], aborted=True)
    text = frame("content_delta", delta="Six.")
    assert read(START, childs, text, DONE) == [RunStarted(), TextDelta("Six."), RunEnded()]


def test_a_short_end_of_a_child_is_not_ours() -> None:
    childs = end(executionId=CHILD, spawnPath=["s1"], aborted=True)
    assert read(START, childs, frame("content_delta", delta="Six."), DONE)[1:] == [TextDelta("Six."), RunEnded()]


LONG_AND_ODD = [
    b'{"event":"execution_end","data":{"output":"' + b"x" * END_PREFIX_BYTES + b'"}}',
    b'{"event":"execution_end","data":{"a":1,"output":"' + b"x" * END_PREFIX_BYTES + b'"}}',
    b'{"event":"execution_end","data":{"a":,"output":"' + b"x" * END_PREFIX_BYTES + b'"}}',
    b'{"event":"execution_end","x":{"a":1,"output":"' + b"x" * END_PREFIX_BYTES + b'"}}',
    b'{"event":"execution_end","data":7,"x":{"a":1,"output":"' + b"x" * END_PREFIX_BYTES + b'"}}',
    b'{"event":"execution_end","data":null,"x":{"a":1,"output":"' + b"x" * END_PREFIX_BYTES + b'"}}',
    b'{"event":"execution_end","data":"' + b"x" * END_PREFIX_BYTES + b'"}',
    b'{"event":"execution_end"' + b" " * END_PREFIX_BYTES + b"}",
]


@pytest.mark.parametrize("payload", LONG_AND_ODD)
def test_a_long_end_that_its_head_does_not_tell_is_read_in_full(payload: bytes) -> None:
    events = EventReader(max_frame=MAX_FRAME).feed(START + b"data: " + payload + b"\n\n")
    if payload in LONG_AND_ODD[:2]:
        assert list(events) == [RunStarted(), RunEnded()]
        return
    with pytest.raises(UpstreamError):
        list(events)


@pytest.mark.parametrize("size", [1, 4096, MEGABYTE])
@pytest.mark.parametrize("order", ["error", "error last", "lines"])
def test_a_failure_with_a_long_text_is_a_failure(size: int, order: str) -> None:
    """A text of any length, at any place in the frame."""
    words = "It broke. " * 4096
    fields: dict[str, Any] = {"error": {"message": words}, "usage": {}, "output": None}
    if order == "error last":
        fields = {"usage": {}, "output": "x" * END_PREFIX_BYTES, "error": {"message": words}}
    failed = frame("execution_end", {"executionId": RUN, **fields})
    if order == "lines":
        failed = failed.replace(b',"data":', b',\ndata: "data":')
    stream = START + failed + DONE
    reader = EventReader(max_frame=MAX_FRAME)
    events = [event for place in range(0, len(stream), size) for event in reader.feed(stream[place : place + size])]
    assert events == [RunStarted(), RunFailed(words)]


def test_an_end_that_is_too_long_to_be_read_is_an_error() -> None:
    failed = frame("execution_end", {"executionId": RUN, "error": {"message": "x" * 2 * MAX_FRAME}})
    with pytest.raises(UpstreamFrameTooLong):
        read(START, failed, DONE)


@pytest.mark.parametrize("data", [b"", b',"dbta":{"error":{"message":"boom"}}', b',"data":null', b',"data":[]'])
def test_an_end_without_its_data_is_an_error(data: bytes) -> None:
    with pytest.raises(UpstreamError, match="without `data`"):
        read(START, b'data: {"type":"event","event":"execution_end"' + data + b"}\n\n", DONE)


# Shape and order of a frame

DELTA = {"type": "content_delta", "blockType": "text", "delta": "Six."}
ORDERS = {
    "event first": {"event": "content_delta", "data": DELTA, "type": "event", "sessionId": "s"},
    "session first": {"sessionId": 's"\\{', "type": "event", "event": "content_delta", "data": DELTA},
    "data first": {"data": DELTA, "event": "content_delta", "sessionId": "s", "type": "event"},
    "data first, its type last": {"data": dict(reversed(DELTA.items())), "event": "content_delta"},
    "another key in front": {"v": 2, "type": "event", "event": "content_delta", "sessionId": "s", "data": DELTA},
    "a long session": {"sessionId": "s" * 1000, "type": "event", "event": "content_delta", "data": DELTA},
    "nothing but the event": {"event": "content_delta", "data": {"delta": "Six."}},
}


@pytest.mark.parametrize("envelope", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\t", " :  ")])
def test_the_order_of_keys_and_the_spaces_do_not_matter(envelope: dict[str, Any], separators: tuple[str, str]) -> None:
    assert read(b"data: " + json.dumps(envelope, separators=separators).encode() + b"\n\n") == [TextDelta("Six.")]


@pytest.mark.parametrize("envelope", ORDERS.values(), ids=ORDERS)
def test_a_childs_frame_is_known_in_any_order(envelope: dict[str, Any]) -> None:
    childs = {**envelope, "data": {**envelope["data"], "spawnPath": ["s1"]}}
    assert read(b"data: " + json.dumps(childs).encode() + b"\n\n") == []


GARBLED = [
    b'data: {"type":"event","event":"content_delta","data":{"delta":"Six."\n\n',
    b"data: {\n\n",
    b"data: \n\n",
    b"data: hello\n\n",
    b"data: [DONE]\n\n",
    b'data: {"event":"content_delta","data":{"delta":"\xff\n\n',
    b"data: " + b"[" * 100_000 + b"\n\n",
    b'data: {"event":"tool_call","data":{"input":' + b'{"a":' * 50_000 + b"\n\n",
]


@pytest.mark.parametrize("garbled", GARBLED)
def test_a_frame_that_is_no_json_is_the_agents_fault(garbled: bytes) -> None:
    reader = EventReader(max_frame=MEGABYTE)
    events = reader.feed(START + garbled)
    assert next(events) == RunStarted()
    with pytest.raises(UpstreamError) as caught:
        list(events)
    assert caught.value.status == 502
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("depth", [100, 900, 950, 990, 1010, 1100])
@pytest.mark.parametrize(
    "name", ["tool_call", "tool_confirmation_required", "tool_result", "spawn_end", "fork_end", "execution_end"]
)
def test_a_frame_that_is_nested_deeply_is_read_or_the_agents_fault(name: str, depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    fields = '{"input":D,"result":{"content":D},"output":D,"selectedBranch":D,"error":[D]}'.replace("D", deep)
    payload = f'{{"event":"{name}","data":{fields}}}'.encode()
    reader = EventReader(max_frame=MEGABYTE, include_tool_activity=True)
    try:
        assert len(list(reader.feed(b"data: " + payload + b"\n\n"))) == 1
    except UpstreamError:
        assert depth > 800


SAYS_NOTHING = [
    *(b"7", b"null", b"[]", b'"text"', b"{}", b'{"event":7}', b'{"event":"content_delta"}'),
    b'{"event":"content_delta","data":null}',
    b'{"event":"content_delta","data":[1]}',
    b'{"event":["content_delta"],"data":{}}',
    b'{"event":"never heard of","data":{}}',
    b'{"type":"connection","connectionId":"c1","subscriptions":[]}',
    b'{"type":"channel","event":"content_delta","data":{"delta":"no"}}',
    b'{"event":"entry_committed","data":{"entry":7}}',
    b'{"event":"message","data":{"message":7}}',
    b'{"event":"model_response","data":{"modelOutput":7}}',
]


@pytest.mark.parametrize("payload", SAYS_NOTHING)
def test_json_of_another_shape_says_nothing(payload: bytes) -> None:
    assert read(START, b"data: " + payload + b"\n\n", DONE) == [RunStarted(), RunEnded()]


def test_comments_and_other_fields_are_not_in_the_way() -> None:
    delta = frame("content_delta", delta="Six.").replace(b"\n", b"\r\n")
    noise = b":heartbeat\n\n", b"id: 7\nevent: x\n" + delta, b"retry: 100\n\n"
    assert read(*noise) == [TextDelta("Six.")]


def test_a_line_that_goes_on_like_a_frame_is_none() -> None:
    """The name and the bytes after it, but not those before it."""
    line = b'execution_end","sessionId":"s","data":{}}\n\n'
    assert read(START + line + b"x" + line) == [RunStarted()]


def test_bytes_that_are_no_utf8_do_not_stop_the_stream() -> None:
    delta = frame("content_delta", delta="a?b").replace(b"?", b"\xff")
    assert read(delta) == [TextDelta("a\ufffdb")]


def test_half_a_character_is_kept_for_its_other_half() -> None:
    halves = [
        b'data: {"event":"content_delta","data":{"delta":"\\ud83c"}}\n\n',
        b'data: {"event":"content_delta","data":{"delta":"\\udf0a"}}\n\n',
    ]
    assert read(*halves) == [TextDelta("\ud83c"), TextDelta("\udf0a")]


def test_a_needed_frame_that_is_too_long_loses_nothing_before_it() -> None:
    reader = EventReader(max_frame=1024)
    events = reader.feed(frame("content_delta", delta="Six.") + frame("content_delta", delta="x" * 2000))
    assert next(events) == TextDelta("Six.")
    with pytest.raises(UpstreamFrameTooLong):
        next(events)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_cuts_change_nothing(size: int) -> None:
    usage = {"inputTokens": 4, "outputTokens": 2, "totalTokens": 6}
    data = b"".join(
        [
            START,
            frame("tick_start", tick=1),
            frame("compiled", prompt="x" * 1000),
            frame("content_delta", delta="\U0001f30a"),
            frame("message_end", stopReason="stop", usage=usage),
            COPY_FRAMES["message"],
            frame("tick_end", shouldContinue=False),
            end(),
            DONE,
        ]
    )
    expected = [
        RunStarted(),
        TickStarted(),
        TextDelta("\U0001f30a"),
        MessageEnded("stop", Usage(4, 2, 6)),
        TickEnded(False, "", None),
        RunEnded(),
    ]
    assert list(read_in_pieces(data, size)) == expected
    assert list(read_in_pieces(data, len(data))) == expected


def read_in_pieces(data: bytes, size: int) -> Iterable[Event]:
    reader = EventReader(max_frame=MAX_FRAME)
    for place in range(0, len(data), size):
        yield from reader.feed(data[place : place + size])


def malformed(name: str, **fields: Any) -> bytes:
    """A frame that is no JSON, which is an error if it is decoded."""
    return frame(name, **fields).replace(b'"tick":1', b'"tick":1,')


def test_a_frame_whose_name_says_everything_is_not_decoded() -> None:
    bare = malformed("tick_start") + malformed("message_start", model="m") + malformed("content_end", blockType="text")
    assert [type(event) for event in read(START + bare)] == [RunStarted, TickStarted]


def test_the_name_of_a_session_does_not_matter_to_such_a_frame() -> None:
    bare = (START + malformed("tick_start")).replace(b"harbor:r1", b"harbor:oc-P")
    assert [type(event) for event in read(bare)] == [RunStarted, TickStarted]


@pytest.mark.parametrize("name", ["message_end", "tick_start"])
@pytest.mark.parametrize("end", [b"}", b" }", b"} ", b',"more":1}', b',"data":{}}', b',"data":5}', b"", b"]", b"}}"])
def test_what_follows_the_data_of_a_frame_counts(name: str, end: bytes) -> None:
    data = START + frame(name, stopReason="length", usage={}).removesuffix(b"}\n\n") + end + b"\n\n"
    assert outcome(data, len(data)) == outcome(data, 1)


def outcome(data: bytes, size: int) -> list[Event] | str:
    try:
        return list(read_in_pieces(data, size))
    except UpstreamError as error:
        return str(error)


@pytest.mark.parametrize(
    "fields",
    [{"spawnPath": ["child"]}, {"note": "\\"}, {"note": "{"}, {"note": {}}],
    ids=["of a child execution", "with an escape", "with a brace", "with an object"],
)
def test_any_other_form_of_such_a_frame_is_decoded(fields: dict[str, Any]) -> None:
    kinds = [type(event) for event in read(START + frame("tick_start", **fields))]
    assert kinds == ([RunStarted] if "spawnPath" in fields else [RunStarted, TickStarted])
    with pytest.raises(UpstreamError, match="no JSON"):
        read(START + malformed("tick_start", **fields))


def test_such_a_frame_without_data_is_ignored_however_it_is_cut() -> None:
    nameless = frame("tick_start").replace(b'"data":', b'"":')
    for size in (1, len(START + nameless)):
        assert [type(event) for event in read_in_pieces(START + nameless, size)] == [RunStarted]


def test_a_citation_of_a_blocks_end_is_read() -> None:
    end = frame("content_end", blockType="text", metadata={"citations": [{"url": "https://a.example"}]})
    assert [type(event) for event in read(START + end)] == [RunStarted, TextCited]


@pytest.mark.parametrize("line_end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [frame("execution_end", aborted=False), DONE])
def test_the_last_event_needs_no_empty_line(last: bytes, line_end: bytes) -> None:
    """The official client reads line by line."""
    reader = EventReader(max_frame=MAX_FRAME)
    events = list(reader.feed(START + last.removesuffix(b"\n\n") + line_end))
    assert not reader.finished
    assert [*events, *reader.flush(at_end=True)][-1] == RunEnded()
    assert reader.finished


def test_a_last_event_that_was_cut_is_none() -> None:
    last = frame("execution_end", aborted=False, output={"timeline": ["x" * 2 * END_PREFIX_BYTES]})
    for end in (*range(1, 400), len(last) - 3):
        reader = EventReader(max_frame=MAX_FRAME)
        list(reader.feed(START + last[:end]))
        assert list(reader.flush(at_end=True)) == []
        assert not reader.finished


def test_before_the_end_of_the_stream_an_unfinished_event_waits() -> None:
    reader = EventReader(max_frame=MAX_FRAME)
    list(reader.feed(START + DONE.removesuffix(b"\n\n")))
    assert list(reader.flush(at_end=False)) == []
    assert list(reader.feed(b"\n\n")) == [RunEnded()]
