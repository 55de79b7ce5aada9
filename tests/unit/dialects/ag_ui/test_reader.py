"""Frames of an AG-UI agent: which become events, which are never buffered, and which end a run."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from ag_ui import core
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import UpstreamError, UpstreamFrameTooLong
from oaicompat_proxy.core.events import (
    Event,
    MessageCompleted,
    ReasoningDelta,
    ReasoningStarted,
    RunEnded,
    RunFailed,
    RunResult,
    RunStarted,
    SubagentFinished,
    TextDelta,
    TextStarted,
    TickStarted,
    ToolCallDelta,
    ToolCalled,
    ToolCallHandled,
    ToolCallStarted,
    ToolFinished,
)
from oaicompat_proxy.dialects.ag_ui.reader import EventReader
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.examples import examples
from tests.support.pipeline import Options, collected, read_events, streamed, translate

MAX_FRAME = 64 * 1024
MEGABYTE = 1024 * 1024


def frame(name: str, /, **fields: Any) -> bytes:
    """A frame as the protocol's own encoder writes it: compact, the type first."""
    return (
        b"data: " + json.dumps({"type": name, **fields}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
    )


def new_reader(*, include_tool_activity: bool = False, max_frame: int = MAX_FRAME) -> EventReader:
    return EventReader(max_frame=max_frame, include_tool_activity=include_tool_activity, run_id="r1")


def read(*frames: bytes, include_tool_activity: bool = False, max_frame: int = MAX_FRAME) -> list[Event]:
    """The events of a stream that consists of these frames."""
    reader = new_reader(include_tool_activity=include_tool_activity, max_frame=max_frame)
    return [*reader.feed(b"".join(frames)), *reader.flush(at_end=True)]


START = frame("RUN_STARTED", threadId="t1", runId="r1")
DONE = frame("RUN_FINISHED", threadId="t1", runId="r1")
ENDED = [RunResult("", "", None), RunEnded()]
SAID = [TextStarted(new_message=True), TextDelta("Six.")]


def text(*deltas: str, message: str = "a1", **fields: Any) -> list[bytes]:
    return [
        frame("TEXT_MESSAGE_START", messageId=message, role="assistant", **fields),
        *(frame("TEXT_MESSAGE_CONTENT", messageId=message, delta=delta, **fields) for delta in deltas),
        frame("TEXT_MESSAGE_END", messageId=message, **fields),
    ]


def call(call_id: str, *pieces: str, name: str = "tide", **fields: Any) -> list[bytes]:
    return [
        frame("TOOL_CALL_START", toolCallId=call_id, toolCallName=name, **fields),
        *(frame("TOOL_CALL_ARGS", toolCallId=call_id, delta=piece, **fields) for piece in pieces),
        frame("TOOL_CALL_END", toolCallId=call_id, **fields),
    ]


def result(call_id: str, content: Any = "06:12", **fields: Any) -> bytes:
    return frame("TOOL_CALL_RESULT", messageId="x1", toolCallId=call_id, content=content, **fields)


ALL_FIELDS = {
    **dict.fromkeys(("toolCallName", "delta", "content", "message", "name"), "x"),
    "messageId": "a1",
    "toolCallId": "c1",
    "threadId": "t1",
    "runId": "r1",
}
CHILDS = {"SUBAGENT_STARTED", "SUBAGENT_FINISHED", "SUBAGENT_ERROR"}
BEGIN, END = (frame(f"SUBAGENT_{word}", subagentRunId="s1", name="pilot") for word in ("STARTED", "FINISHED"))

# What is never kept

NEVER_NEEDED = [
    *("STATE_SNAPSHOT", "STATE_DELTA", "ACTIVITY_SNAPSHOT", "ACTIVITY_DELTA", "STEP_STARTED", "STEP_FINISHED", "RAW"),
    *("REASONING_START", "REASONING_END", "REASONING_ENCRYPTED_VALUE"),
    *("THINKING_START", "THINKING_END", "SOMETHING_NEW", ""),
]


def hostile(name: str, **fields: Any) -> bytes:
    """Twice the largest frame, and no JSON: it can only be thrown away unread."""
    return frame(name, **fields, padding="SECRET" * MAX_FRAME)[:-20] + b"}}}\xff\n\n"


@pytest.mark.parametrize("name", NEVER_NEEDED)
def test_what_the_answer_does_not_need_is_never_kept(name: str) -> None:
    assert read(START, hostile(name, timestamp=1790000000000), DONE, include_tool_activity=True) == [
        RunStarted(),
        *ENDED,
    ]


def test_every_event_of_the_protocol_is_read_or_thrown_away() -> None:
    """And whichever comes with the next version of its types is looked at by a person."""
    for name in core.EventType.__members__:
        read(*([] if name == "RUN_FINISHED" else [BEGIN]), hostile_or_not(name))
    known = {*NEVER_NEEDED, *READ, "RUN_STARTED", "MESSAGES_SNAPSHOT", "CUSTOM"}
    assert set(core.EventType.__members__) <= known


def hostile_or_not(name: str) -> bytes:
    return (
        hostile(name)
        if name in NEVER_NEEDED
        else frame(name, **ALL_FIELDS, messages=[], subagentRunId="s1" if name in CHILDS else None)
    )


READ = {
    *("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "TEXT_MESSAGE_CHUNK"),
    *("REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_CHUNK", "REASONING_MESSAGE_END"),
    *("TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_CHUNK", "TOOL_CALL_RESULT"),
    *("SUBAGENT_STARTED", "SUBAGENT_FINISHED", "SUBAGENT_ERROR", "RUN_FINISHED", "RUN_ERROR"),
    *("THINKING_TEXT_MESSAGE_START", "THINKING_TEXT_MESSAGE_CONTENT", "THINKING_TEXT_MESSAGE_END"),
}


def test_the_beginning_of_a_run_may_hold_the_whole_request() -> None:
    assert read(hostile("RUN_STARTED", threadId="t1", runId="r1"), DONE) == [RunStarted(), *ENDED]


def test_the_result_of_a_tool_that_is_not_shown_is_not_kept() -> None:
    long = hostile("TOOL_CALL_RESULT", timestamp=1, messageId="x1", toolCallId="c1\\u00e9", content="x")
    assert read(*call("c1\\u00e9"), long) == [
        ToolCallStarted("c1\\u00e9", "tide"),
        ToolCallHandled("c1\\u00e9"),
    ]


def test_a_long_result_whose_call_stands_behind_it_is_read_in_full() -> None:
    """Where a call's id seems to stand in front of it may be something else."""
    late = frame("TOOL_CALL_RESULT", metadata={"toolCallId": "c2"}, content="x" * 1000, toolCallId="c1", messageId="x1")
    assert read(*call("c1"), *call("c2"), late)[-1] == ToolCallHandled("c1")


def test_ten_megabytes_of_state_are_thrown_away_while_they_arrive() -> None:
    assert_never_held(frame("STATE_SNAPSHOT", snapshot="")[:-4])


def test_a_snapshot_counts_for_nothing_behind_spoken_words() -> None:
    assert_never_held(frame("MESSAGES_SNAPSHOT", messages="")[:-4], before=b"".join(text("Six.")))


def assert_never_held(head: bytes, before: bytes = b"") -> None:
    reader = EventReader(max_frame=MAX_FRAME)
    list(reader.feed(before))
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
    assert [*reader.feed(b'"}\n\n' + DONE), *reader.flush(at_end=True)] == ENDED


def test_a_snapshot_that_is_too_long_and_alone_is_an_error() -> None:
    snapshot = frame("MESSAGES_SNAPSHOT", messages=[{"role": "assistant", "content": "x" * 2 * MAX_FRAME}])
    pieces = [snapshot[place : place + 1000] for place in range(0, len(snapshot), 1000)]
    for reads in ([START, snapshot, DONE], [START, *pieces, DONE]):
        reader = new_reader()
        with pytest.raises(UpstreamFrameTooLong):
            [event for data in reads for event in reader.feed(data)]
    shorter = frame("MESSAGES_SNAPSHOT", messages=[{"role": "assistant", "content": "Six."}])
    assert read(START, snapshot, shorter, DONE)[1:] == [MessageCompleted("Six.", "", "", None), *ENDED]
    assert read(START, snapshot, *text("Six."), DONE)[1:] == [*SAID, *ENDED]


def test_a_snapshot_speaks_for_a_run_that_said_nothing() -> None:
    earlier, later = ({"role": "assistant", "content": words} for words in ("Five.", "Six."))
    snapshots = [frame("MESSAGES_SNAPSHOT", messages=[message]) for message in (earlier, later)]
    assert read(*snapshots, DONE) == [MessageCompleted("Six.", "", "", None), *ENDED]
    assert read(*snapshots, *text("Seven."), DONE)[1:] == [TextDelta("Seven."), *ENDED]
    assert MessageCompleted not in map(type, read(*snapshots, *call("c1"), DONE))


def test_a_snapshot_speaks_for_a_run_that_only_called_its_own_tools() -> None:
    words = {"role": "assistant", "content": "Six."}
    own, client = ({"id": each, "function": {"name": "tide", "arguments": "{}"}} for each in ("c1", "c2"))
    used = [START, *call("c1", "{}"), result("c1")]
    last = [TickStarted(), MessageCompleted("Six.", "", "", None)]
    assert read(*used, frame("MESSAGES_SNAPSHOT", messages=[words]), DONE)[-4:] == [*last, *ENDED]
    calls = frame("MESSAGES_SNAPSHOT", messages=[{**words, "toolCalls": [own, client]}])
    assert read(*used, calls, DONE)[-5:] == [*last, ToolCalled("c2", "tide", "{}"), *ENDED]
    stale = frame("MESSAGES_SNAPSHOT", messages=[words])
    assert read(START, stale, *used[1:], DONE)[-3:] == [ToolCallHandled("c1"), *ENDED]
    assert read(*used, stale, *call("c2"), DONE)[-3:-1] == [ToolCallStarted("c2", "tide"), ENDED[0]]


@pytest.mark.parametrize("shown", [False, True])
def test_the_arguments_of_an_accepted_output_are_the_answer(shown: bool) -> None:
    """As Pydantic AI sends the output of an agent whose output has a type."""
    call_id = "call_" + "x" * 80  # as long as that of OpenAI's Responses API
    accepted = result(call_id, "Final result processed.", timestamp=1796132534039, role="tool")
    frames = (*text(), *call(call_id, '{"bells":', "6}", name="final_result"), accepted, DONE)
    answered = [ToolCallHandled(call_id), TextStarted(new_message=True), TextDelta('{"bells":6}')]
    assert read(START, *frames, include_tool_activity=shown)[-5:] == [*answered, *ENDED]


def test_an_accepted_output_without_its_call_is_nothing() -> None:
    accepted = result("c1", "Final result processed.")
    assert read(START, accepted, *call("c1"), accepted, accepted, DONE)[-3:] == [TextDelta("{}"), *ENDED]


def test_a_custom_event_that_is_not_read_is_dropped_in_any_order_of_keys() -> None:
    custom = b'data: {"type":"CUSTOM","value":{"a":1},"name":"other"}\n\n'
    chunks = frame("TEXT_MESSAGE_CHUNK", messageId="a1", delta="Six"), frame("TEXT_MESSAGE_CHUNK", delta=" bells")
    events = read(START, chunks[0], custom, chunks[1], DONE, custom)
    assert events[2:4] == [TextDelta("Six"), TextDelta(" bells")]
    assert events[-1] == RunEnded()


def test_a_snapshot_does_not_count_beside_a_call_for_the_client() -> None:
    for snapshot in (frame("MESSAGES_SNAPSHOT", messages=7), frame("MESSAGES_SNAPSHOT", messages="x" * 2 * MAX_FRAME)):
        assert read(START, *call("c1"), snapshot, DONE)[1:-1] == [ToolCallStarted("c1", "tide"), ENDED[0]]


def test_a_result_speaks_for_a_run_that_only_called_its_own_tools() -> None:
    said = frame("RUN_FINISHED", threadId="t1", runId="r1", result="Six.")
    assert read(START, *call("c1"), result("c1"), said)[-2:] == [RunResult("Six.", "", None), RunEnded()]
    assert read(START, *call("c1"), said)[-2] == ENDED[0]


# Whose event is it?


@pytest.mark.parametrize("name", sorted(READ - {"RUN_FINISHED", "RUN_ERROR"}))
def test_a_sub_agents_events_stay_inside(name: str) -> None:
    event = frame(name, **ALL_FIELDS, subagentRunId="s1")
    events = read(
        START, BEGIN, event, *([] if name in CHILDS - {"SUBAGENT_STARTED"} else [END]), DONE, include_tool_activity=True
    )
    assert [each for each in events if not isinstance(each, SubagentFinished)] == [RunStarted(), *ENDED]


def test_a_sub_agents_end_is_read_with_the_agents_own_tools() -> None:
    begin = frame("SUBAGENT_STARTED", subagentRunId="s1", name="pilot")
    inner = frame("SUBAGENT_STARTED", subagentRunId="s2", name="sonar", parentSubagentRunId="s1")
    ends = [frame("SUBAGENT_FINISHED", subagentRunId=each, result={"depth": 12}) for each in ("s2", "s1")]
    assert read(begin, inner, *ends, include_tool_activity=True) == [SubagentFinished("pilot", '{"depth": 12}', False)]
    assert read(begin, inner, *ends) == []
    failed = frame("SUBAGENT_ERROR", subagentRunId="s1", message="Fog.")
    assert read(begin, failed, include_tool_activity=True) == [SubagentFinished("pilot", "Fog.", True)]
    waits = frame("SUBAGENT_FINISHED", subagentRunId="s1", outcome={"type": "suspended"})
    assert read(begin, waits, begin, ends[1], include_tool_activity=True) == [
        SubagentFinished("pilot", '{"depth": 12}', False)
    ]


def test_null_is_like_absent() -> None:
    nothing = {"subagentRunId": None, "rawEvent": None, "timestamp": None}
    assert read(frame("TEXT_MESSAGE_START", messageId="a1", role=None, **nothing), *text("Six.")[1:]) == SAID


# What the model says


def test_short_forms_end_with_whatever_else_is_read() -> None:
    chunks = [
        frame("TEXT_MESSAGE_CHUNK", messageId="a1", delta="One "),
        frame("STATE_DELTA", delta=[]),
        frame("TEXT_MESSAGE_CHUNK", delta="moment."),
        frame("TOOL_CALL_CHUNK", toolCallId="c1", toolCallName="tide", delta='{"port":'),
        frame("TOOL_CALL_CHUNK", delta='"Brest"}'),
        frame("TEXT_MESSAGE_CHUNK", messageId="a2", role="assistant"),
        frame("REASONING_MESSAGE_CHUNK", messageId="z1", delta="Hm."),
        frame("REASONING_MESSAGE_CHUNK", delta=" So."),
        frame("REASONING_MESSAGE_CHUNK", messageId="z2", delta="Yes."),
    ]
    assert read(*chunks, DONE) == [
        TextStarted(new_message=True),
        TextDelta("One "),
        TextDelta("moment."),
        ToolCallStarted("c1", "tide"),
        ToolCallDelta("c1", '{"port":'),
        ToolCallDelta("c1", '"Brest"}'),
        ToolCallHandled("c1"),
        TextStarted(new_message=True),
        ReasoningStarted(),
        ReasoningDelta("Hm."),
        ReasoningDelta(" So."),
        ReasoningStarted(),
        ReasoningDelta("Yes."),
        *ENDED,
    ]


@pytest.mark.parametrize("kind", ["REASONING_MESSAGE", "THINKING_TEXT_MESSAGE"])
def test_reasoning_has_two_names(kind: str) -> None:
    name = {"messageId": "z1"} if kind == "REASONING_MESSAGE" else {}
    thought = [
        frame(f"{kind}_START", **name),
        frame(f"{kind}_CONTENT", delta="Hm.", **name),
        frame(f"{kind}_END", **name),
    ]
    assert read(*thought) == [ReasoningStarted(), ReasoningDelta("Hm.")]


def test_what_is_said_after_a_result_is_another_tick() -> None:
    thought = frame("REASONING_MESSAGE_START", messageId="z1")
    for speech in (thought, text("Six.")[0]):
        assert [type(event) for event in read(*call("c1"), result("c1"), speech, speech, *call("c2"))][2:4] == [
            TickStarted,
            ReasoningStarted if speech == thought else TextStarted,
        ]


def test_another_call_after_a_result_is_the_same_tick() -> None:
    """Some agents run the first of several calls before the model has sent the last."""
    assert TickStarted not in map(type, read(*call("c1"), result("c1"), *call("c2"), DONE))


def test_a_result_of_an_earlier_run_is_no_sign_of_another_tick() -> None:
    assert read(result("c0"), *text("Six.")) == SAID


def test_the_agents_own_tools_are_read_only_where_they_are_shown() -> None:
    assert read(*call("c1", "{}"), result("c1"))[-1] == ToolCallHandled("c1")
    tool_finished = ToolFinished("c1", "tide", "06:12", False, None)
    assert read(*call("c1", "{}"), result("c1"), include_tool_activity=True)[-2:] == [
        ToolCallHandled("c1"),
        tool_finished,
    ]


# What makes an end

OTHER = frame("RUN_STARTED", threadId="t1", runId="r0")

ENDS: dict[str, tuple[list[bytes], list[Event]]] = {
    "well": ([DONE], ENDED),
    "well, with OpenAI's last event behind it": ([DONE, b"data: [DONE]\n\n"], ENDED),
    "with a failure": ([frame("RUN_ERROR", message="It broke.")], [RunFailed("It broke.")]),
    "with a failure that comes late": ([DONE, frame("RUN_ERROR", message="It broke.")], [RunFailed("It broke.")]),
    "with a run of another name behind it": ([START, DONE, OTHER, *text("no"), DONE], [RunStarted(), *ENDED]),
    "with the same run again": (
        [START, *text("Six."), DONE, START, *text("Seven."), DONE],
        [RunStarted(), *SAID, TickStarted(), TextStarted(new_message=True), TextDelta("Seven."), *ENDED],
    ),
    "with a message that never ended": (
        [
            frame("TEXT_MESSAGE_START", messageId="a1"),
            frame("TEXT_MESSAGE_CONTENT", messageId="a2", delta="Six."),
            DONE,
        ],
        [TextStarted(new_message=True), TextStarted(new_message=True), TextDelta("Six."), *ENDED],
    ),
}


@pytest.mark.parametrize(("frames", "events"), ENDS.values(), ids=ENDS)
def test_the_last_word(frames: list[bytes], events: list[Event]) -> None:
    reader = new_reader()
    assert not reader.finished
    assert [*reader.feed(b"".join(frames)), *reader.flush(at_end=True)] == events
    assert reader.finished


def test_without_a_last_word_it_is_not_over() -> None:
    reader = new_reader()
    list(reader.feed(b"".join([START, *text("Six."), frame("STEP_FINISHED"), DONE[:-1]])))
    assert not reader.finished


# Shape of a frame

DELTA = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "a1", "delta": "Six."}
ORDERS = {
    "type last": dict(reversed(DELTA.items())),
    "a simple key in front": {"timestamp": 1.5e9, "x": None, "y": 'a"\\{', **DELTA},
    "a nested key in front": {"rawEvent": {"type": "RAW", "a": [1]}, **DELTA},
    "a long key in front": {"x": "y" * 1000, **DELTA},
    "unknown keys": {**DELTA, "new": {"type": "RAW"}},
}


@pytest.mark.parametrize("fields", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\t", " :  ")])
def test_the_order_of_keys_and_the_spaces_do_not_matter(fields: dict[str, Any], separators: tuple[str, str]) -> None:
    assert read(b"data: " + json.dumps(fields, separators=separators).encode() + b"\n\n") == SAID


GARBLED = [
    b'data: {"type":"TEXT_MESSAGE_CONTENT","delta":"Six."\n\n',
    b"data: {\n\n",
    b"data: \n\n",
    b"data: hello\n\n",
    b"data: [DONE]\n\n",
    b"data: " + b"[" * 100_000 + b"\n\n",
    b'data: {"type":"RUN_FINISHED","result":' + b'{"a":' * 50_000 + b"\n\n",
    b'data: {"type":"MESSAGES_SNAPSHOT","messages":\n\n' + DONE,
]


@pytest.mark.parametrize("garbled", GARBLED)
def test_a_frame_that_is_no_json_is_the_agents_fault(garbled: bytes) -> None:
    events = EventReader(max_frame=MEGABYTE).feed(START + garbled)
    assert next(events) == RunStarted()
    with pytest.raises(UpstreamError) as caught:
        list(events)
    assert caught.value.status == 502
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("depth", [100, 900, 990, 1010, 1100])
def test_a_result_that_is_nested_deeply_is_read_or_the_agents_fault(depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    parts = f'"toolCallId":"c1","messageId":"x1","content":[{{"type":"new","deep":{deep}}}]'
    frames = [*call("c1"), f'data: {{"type":"TOOL_CALL_RESULT",{parts}}}\n\n'.encode()]
    try:
        assert len(read(*frames, include_tool_activity=True)) == 3
    except UpstreamError:
        assert depth > 800


@pytest.mark.parametrize("payload", [b"7", b"null", b"[]", b'"text"', b"{}", b'{"type":7}', b'{"type":["RAW"]}'])
def test_json_of_another_shape_is_no_event(payload: bytes) -> None:
    with pytest.raises(UpstreamError, match="without a type"):
        read(START, b"data: " + payload + b"\n\n", DONE)


def test_comments_and_other_fields_are_not_in_the_way() -> None:
    delta = frame("TEXT_MESSAGE_CONTENT", messageId="a1", delta="Six.").replace(b"\n", b"\r\n")
    assert read(b": ping\n\n", b"id: 7\nevent: message\n" + delta, b"retry: 100\n\n") == SAID


def test_bytes_that_are_no_utf8_do_not_stop_the_stream() -> None:
    assert read(frame("TEXT_MESSAGE_CONTENT", messageId="a1", delta="a?b").replace(b"?", b"\xff"))[-1] == TextDelta(
        "a\ufffdb"
    )


def test_half_a_character_is_kept_for_its_other_half() -> None:
    halves = [
        b'data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"a1","delta":"%s"}\n\n' % half
        for half in (b"\\ud83c", b"\\udf0a")
    ]
    assert read(*halves)[1:] == [TextDelta("\ud83c"), TextDelta("\udf0a")]


def test_a_needed_frame_that_is_too_long_loses_nothing_before_it() -> None:
    long = frame("TEXT_MESSAGE_CONTENT", messageId="a1", delta="x" * 2000)
    events = EventReader(max_frame=1024).feed(b"".join(text("Six.")) + long)
    assert [next(events), next(events)] == SAID
    with pytest.raises(UpstreamFrameTooLong):
        next(events)


# Laws

WORDS = st.sampled_from(["", "Hi", "\U0001f30a", '{"a":', "1}", "\x00", '"delta":"', '"type":"RAW"', "\\", "\u2028"])
IDS = st.sampled_from(["", "a1", "a2", "c1", "c2"])
VALUES = {
    "messageId": IDS,
    "toolCallId": IDS,
    "subagentRunId": st.sampled_from([None, "s1"]),
    "toolCallName": st.sampled_from(["", "tide", "moon"]),
    "threadId": st.just("t1"),
    "runId": st.sampled_from(["r1", "r1", "r0"]),
    "role": st.sampled_from(["assistant", "user", None]),
    "delta": WORDS,
    "content": WORDS | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": WORDS}), max_size=2),
    "messages": st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool"]), "content": WORDS}), max_size=3
    ),
    "outcome": st.sampled_from(
        [
            None,
            {"type": "success", "pendingToolCallIds": ["c1"]},
            {"type": "interrupt", "interrupts": [{"id": "i1", "toolCallId": "c1"}]},
            {"type": "cancelled"},
        ]
    ),
    "usage": st.sampled_from([None, [{"inputTokens": 4, "outputTokens": 2}], [{}]]),
    "result": WORDS | st.none(),
    "message": WORDS,
    "name": WORDS,
}
JUNK = st.none() | st.booleans() | st.integers() | st.lists(st.integers(), max_size=2) | st.just({"type": "RAW"})
NAMES = [*sorted(READ), "RUN_STARTED", "CUSTOM", "MESSAGES_SNAPSHOT", "RAW", "NEW", "THINKING_TEXT_MESSAGE_CONTENT"]


@st.composite
def any_frame(draw: st.DrawFn, junk: bool) -> dict[str, Any]:
    """An event of any kind, with the fields that it may have, or with some missing, added or of another type."""
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True)) if junk else list(VALUES)
    fields = {key: draw(VALUES[key] | JUNK if junk else VALUES[key]) for key in kinds}
    return {"type": draw(st.sampled_from(NAMES)), **fields}


def wire_of(events: Iterable[dict[str, Any]], chance: random.Random) -> bytes:
    """Their bytes, with the keys in any order and lines that end in any way."""
    wire = b""
    for event in events:
        fields = list(event.items())
        if chance.random() < 0.5:
            chance.shuffle(fields)
        end = chance.choice([b"\n", b"\r\n", b"\r"])
        wire += b"data:" + chance.choice([b" ", b""]) + json.dumps(dict(fields)).encode() + end + end
    return wire


OPTIONS = st.builds(
    Options,
    tool_names=st.frozensets(st.sampled_from(["tide", "moon"])),
    include_usage=st.booleans(),
    legacy_functions=st.booleans(),
    reasoning_field=st.just("reasoning_content"),
    tick_separator=st.sampled_from(["\n\n", ""]),
    server_tools=st.sampled_from(["hide", "reasoning", "content"]),
    confirmations=st.sampled_from(["deny", "ask"]),
    dialect=st.just("ag-ui"),
)


@examples(200)
@given(st.lists(any_frame(junk=True), max_size=15), st.booleans(), st.randoms(use_true_random=False), OPTIONS)
def test_any_events_become_one_answer_or_one_error(
    events: list[dict[str, Any]], ended: bool, chance: random.Random, options: Options
) -> None:
    wire = wire_of(events, chance) + (DONE if ended else b"")
    outcome = translate(
        read_events([wire], include_tool_activity=options.server_tools != "hide", dialect="ag-ui"), options
    )
    stream = streamed(outcome, options)
    answer = check_stream(stream, include_usage=options.include_usage) if stream is not None else None
    if outcome.failure is not None:
        assert answer is None or answer.error == check_error_body(collected(outcome, options))
        return
    whole = check_body(collected(outcome, options))
    if not options.include_usage:
        whole.usage = None
    assert answer == whole


def test_a_snapshot_whose_type_comes_last_is_read() -> None:
    messages = [{"id": "m1", "role": "assistant", "content": "Six."}]
    snapshot = b"data: " + json.dumps({"messages": messages, "type": "MESSAGES_SNAPSHOT"}).encode() + b"\n\n"
    assert read(START, snapshot, DONE)[1:] == [MessageCompleted("Six.", "", "", None), *ENDED]


@examples(150)
@given(
    st.lists(any_frame(junk=False), max_size=10),
    st.randoms(use_true_random=False),
    st.lists(st.floats(0, 1), max_size=8),
    st.booleans(),
)
def test_cuts_order_and_line_ends_change_nothing(
    events: list[dict[str, Any]], chance: random.Random, cuts: list[float], include_tool_activity: bool
) -> None:
    wire = wire_of(events, chance)
    edges = [0, *sorted(int(cut * len(wire)) for cut in cuts), len(wire)]
    plain = b"".join(b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n" for event in events)
    expected = events_of([plain], include_tool_activity)
    for reads in ([wire], [wire[start:stop] for start, stop in pairwise(edges)], [bytes([each]) for each in wire]):
        assert events_of(reads, include_tool_activity) == expected


PLAIN = {"messageId": st.sampled_from(["a1", "a2"]), "delta": st.sampled_from(["Six", "", "\ud83c"]) | JUNK}
PIECES = st.fixed_dictionaries({"type": st.just("TEXT_MESSAGE_CONTENT"), **PLAIN})


@examples(300)
@given(st.lists(PIECES | any_frame(junk=False), max_size=12), st.booleans())
def test_plain_deltas_are_read_like_those_with_more_fields(events: list[dict[str, Any]], begun: bool) -> None:
    """What most of a stream is goes a shorter way."""
    around = ([START] if begun else [], [DONE])
    plain, more = (
        [b"data: " + json.dumps({**event, **add}, separators=(",", ":")).encode() + b"\n\n" for event in events]
        for add in ({}, {"new": 1})
    )
    assert events_of([*around[0], *plain, *around[1]], True) == events_of([*around[0], *more, *around[1]], True)


def events_of(reads: list[bytes], include_tool_activity: bool) -> list[Event | type[UpstreamError]]:
    """The events, and the fault behind them if there is one."""
    reader, events = new_reader(include_tool_activity=include_tool_activity), list[Event | type[UpstreamError]]()
    try:
        for data in reads:
            for event in reader.feed(data):
                events.append(event)
        events += reader.flush(at_end=True)
    except UpstreamError as error:
        events.append(type(error))
    return events


@examples(100)
@given(st.lists(any_frame(junk=False), max_size=8), st.randoms(use_true_random=False), st.data(), OPTIONS)
def test_garbled_bytes_are_an_error_or_an_answer_but_nothing_else(
    events: list[dict[str, Any]], chance: random.Random, data: st.DataObject, options: Options
) -> None:
    wire = bytearray(wire_of(events, chance) + DONE)
    for place in data.draw(st.lists(st.integers(0, len(wire) - 1), max_size=5)):
        wire[place] = data.draw(st.integers(0, 255))
    outcome = translate(read_events([bytes(wire)], include_tool_activity=True, dialect="ag-ui"), options)
    assert outcome.failure is None or check_error_body(collected(outcome, options))


STARTED = frame("RUN_STARTED", threadId="t1", runId="r1")
FINISHED = frame("RUN_FINISHED", threadId="t1", runId="r1")


@pytest.mark.parametrize("line_end", [b"", b"\n", b"\r\n"])
def test_the_last_event_needs_no_empty_line(line_end: bytes) -> None:
    """The official client takes it."""
    assert read(STARTED, FINISHED.removesuffix(b"\n\n") + line_end)[-1] == RunEnded()


def test_a_late_failure_needs_no_empty_line() -> None:
    failed = frame("RUN_ERROR", message="Too late.")
    assert read(STARTED, FINISHED, failed.removesuffix(b"\n\n"))[-1] == RunFailed("Too late.")


def test_a_last_event_that_was_cut_is_none() -> None:
    for end in range(1, len(FINISHED) - 2):
        assert read(STARTED, FINISHED[:end]) == [RunStarted()]


def test_before_the_end_of_the_stream_an_unfinished_event_waits() -> None:
    reader = new_reader()
    list(reader.feed(STARTED + FINISHED.removesuffix(b"\n\n")))
    assert [*reader.flush(at_end=False), *reader.feed(b"\n\n")] == []
    assert [*reader.flush(at_end=True)][-1] == RunEnded()
