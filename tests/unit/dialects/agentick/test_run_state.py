"""State of a run: which frames are needed, which events they become, and how the run ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.core.events import (
    Citation,
    Event,
    RunEnded,
    RunFailed,
    RunStarted,
    SubagentFinished,
    TextCited,
    TextStarted,
    TickStarted,
    ToolCalled,
    ToolCallHandled,
)
from oaicompat_proxy.core.sse import Kept
from oaicompat_proxy.dialects.agentick.parsers import DUPLICATES, PARSERS, TOOL_ACTIVITY
from oaicompat_proxy.dialects.agentick.reader import EventReader
from oaicompat_proxy.dialects.agentick.run_state import (
    END_PREFIX_BYTES,
    FILTER,
    FILTER_WITH_TOOL_ACTIVITY,
    RESULT_PREFIX_BYTES,
    RunState,
)
from tests.support.examples import examples

MAX_FRAME = 64 * 1024
MESSAGE = {"role": "assistant", "content": [{"type": "text", "text": "Six."}]}
IGNORED = ["compiled", "content", "reasoning_start", "fork_start", "never_heard_of", "x" * 300]
NAMES = [*PARSERS, *TOOL_ACTIVITY, *DUPLICATES, *IGNORED, "execution_end"]


def new_run(**options: bool) -> RunState:
    return RunState(**{"include_tool_activity": True, "resumed": False, **options})


def handle(run: RunState, name: str, /, **data: Any) -> Event | None:
    return run.handle(name, data)


def head_of(name: str) -> bytes:
    return b'{"type":"event","event":"%b","sessionId":"s"' % name.encode()


def needs(run: RunState) -> set[str]:
    """Which copies of the message it would keep now."""
    return {name for name in DUPLICATES if run.filter_frame(head_of(name)) is not None}


def test_copies_are_needed_until_the_message_is_known() -> None:
    run = new_run()
    assert needs(run) == set(DUPLICATES)
    handle(run, "message_start")
    assert needs(run) == set()
    handle(run, "tool_call_start", callId="c1", name="tide")
    assert needs(run) == {"message"}
    assert handle(run, "tick_start") == TickStarted()
    assert needs(run) == set(DUPLICATES)


def test_a_run_that_is_joined_in_its_middle_needs_none() -> None:
    assert needs(new_run(resumed=True)) == set()


def test_a_child_is_called_what_its_beginning_said() -> None:
    run = new_run()
    handle(run, "spawn_start", spawnId="s1", componentName="Diver")
    assert handle(run, "spawn_end", spawnId="s1", output="done") == SubagentFinished("Diver", "done", False)


@pytest.mark.parametrize(
    ("data", "event", "over"),
    [
        ({}, RunEnded(), True),
        ({"aborted": False}, RunEnded(), True),
        ({"aborted": False, "executionId": "e2"}, None, False),
        ({"error": {}}, RunFailed(""), True),
        ({"error": None, "executionId": "e1"}, RunEnded(), True),
        ({"aborted": True}, RunFailed("Execution aborted", aborted=True), True),
        ({"error": {"message": "no"}}, RunFailed("no"), True),
    ],
)
def test_what_an_end_says(data: dict[str, Any], event: Event | None, over: bool) -> None:
    run = new_run()
    handle(run, "execution_start", executionId="e1")
    assert handle(run, "execution_end", **data) == event
    assert run.finished == over


def test_behind_the_end_nothing_is_needed() -> None:
    run = new_run()
    assert run.filter_frame(head_of("tick_start")) is not None
    handle(run, "execution_end", aborted=False)
    assert run.filter_frame(head_of("tick_start")) is None
    assert run.filter_frame(b"hello") is None


def test_a_call_whose_message_has_not_come_is_early() -> None:
    """Agentick 0.14 sends a message that did not stream only when it is committed, after the tools."""
    run = new_run()
    call = {"callId": "c1", "name": "tide", "input": {}}
    assert handle(run, "tool_call", **call) == ToolCalled("c1", "tide", "{}", is_early=True)
    handle(run, "message_start")
    assert handle(run, "tool_call", **call) == ToolCalled("c1", "tide", "{}")


def result_of(call_id: str) -> bytes:
    data = {"type": "tool_result", "callId": call_id, "name": "tide"}
    return gateway_json({"type": "event", "event": "tool_result", "sessionId": "s", "data": data})[:-2].encode()


def test_a_long_result_settles_the_call_whose_tool_runs() -> None:
    run = new_run(include_tool_activity=False)
    handle(run, "tool_result_start", callId="c1", name="tide")
    assert run.handle_long_result(result_of("c2")) is None, "a child's"
    assert run.handle_long_result(result_of("c1")) == ToolCallHandled("c1")
    assert run.handle_long_result(result_of("c2")) == ToolCallHandled("c2"), "the frame does not show whose call it is"


def test_a_result_that_does_not_begin_like_one_is_read_in_full() -> None:
    keep = new_run(include_tool_activity=False).filter_frame(head_of("tool_result"))
    assert keep is not None
    assert keep.is_enough is not None
    assert keep.is_enough(result_of("c1"))
    assert not keep.is_enough(result_of(""))


def test_how_much_of_an_event_is_kept() -> None:
    assert FILTER[b"tick_start"] == Kept("tick_start")
    assert FILTER[b"tool_result"].limit == RESULT_PREFIX_BYTES
    assert FILTER_WITH_TOOL_ACTIVITY[b"tool_result"] == Kept("tool_result")
    assert FILTER.keys() == {b"execution_end", *(name.encode() for name in PARSERS)}
    names = ["execution_end", *PARSERS, *TOOL_ACTIVITY]
    assert FILTER_WITH_TOOL_ACTIVITY.keys() == {name.encode() for name in names}


# However a stream is framed and cut, a run becomes the same events

FIELDS: list[dict[str, Any]] = [
    {"executionId": "e1", "blockType": "text", "delta": "Hi", "callId": "c1", "name": "tide", "input": {"a": 1}},
    {"executionId": "e1", "message": MESSAGE, "modelOutput": {"message": MESSAGE}, "entry": {"message": MESSAGE}},
    {"executionId": "e2", "usage": {"inputTokens": 3, "outputTokens": 4.0, "totalTokens": 0}, "stopReason": "stop"},
    {"executionId": "e1", "error": {"message": "no"}, "result": {"response": "all"}, "spawnId": "s1", "label": "Ann"},
    {"executionId": "e1", "error": "gone"},
    {"executionId": "e1", "aborted": True},
    {"executionId": "e1", "aborted": False, "usage": {}, "output": "x" * END_PREFIX_BYTES},
    {"executionId": "e1", "aborted": False, "error": {"message": "x" * END_PREFIX_BYTES}, "output": None},
    {"type": "tool_result", "callId": "c1", "name": "tide", "result": {"content": "x" * RESULT_PREFIX_BYTES}},
    {"callId": "c1", "name": "tide", "result": {"content": [{"text": "[tide rendered on client]"}]}},
    {"executionId": "e1", "output": "x" * END_PREFIX_BYTES},
    {"executionId": "e2", "output": "x" * END_PREFIX_BYTES, "error": "no"},
    {"executionId": "e1", "spawnPath": ["s1"], "delta": "CHILD", "message": MESSAGE},
    {"executionId": "e1", "blockType": "image", "raw": {"blockType": "text"}},
    {"executionId": "e1", "blockType": "text", "metadata": {"citations": [{"url": "u"}]}},
    {"executionId": "e1", "blockType": "text", "model": "é"},
    {},
]
PAYLOADS = [
    '{{"type":"event","event":"{name}","sessionId":"s","data":{data}}}',
    '{{"type":"event","event":"{name}","sessionId":"s","data":{data}}} ',
    '{{"type":"event","event":"{name}","data":{data},"data":null}}',
    '{{"type":"event","event":"{name}","data":{data},"x":"spawnPath"}}',
    '{{"type":"event","event":"{name}","data":[{data}]}}',
    '{{"type":"event","event":"{name}","sessionId":"s"}}',
    '{{"type":"event","event":"{name}","data":{data}',
    '{{"type":"event","event":"{name}\\u0020","data":{data}}}',
    '{{"type":"event","event":"{name}","event":"tick_start","data":{data}}}',
    '{{"event":"{name}","type":"event","data":{data}}}',
    '{{"type":"event","event":"{name}',
    '{{"type":"event","event":{data}}}',
]
FRAMINGS = [
    b"data: %b\n\n",
    b"data:%b\n\n",
    b"data: %b\n\n\n",
    b"data: %b\n: comment\n\n",
    b"data: %b\ndata:\n\n",
    b"event: x\ndata: %b\n\n",
    b": comment\n\ndata: %b\n\n",
    b"data: %b\n\n\n\n: comment\n\n",
]


def mostly(choices: list[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 3).flatmap(lambda dice: st.sampled_from(choices) if dice == 0 else st.just(choices[0]))


FRAMES = st.builds(
    lambda name, data, payload, framing: framing % payload.format(name=name, data=gateway_json(data)).encode(),
    st.sampled_from(NAMES),
    st.sampled_from(FIELDS),
    mostly(PAYLOADS),
    mostly(FRAMINGS),
)


def gateway_json(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))


def read_all(reader: EventReader, reads: list[bytes]) -> list[Any]:
    """The events of a reader; an error as the last item."""
    events: list[Any] = []
    try:
        for data in reads:
            events += reader.feed(data)
    except UpstreamError as error:
        events.append((type(error), str(error)))
    return [*events, reader.finished, reader.execution_id]


@examples(600)
@given(st.lists(FRAMES, max_size=12), st.integers(1, 3000), st.booleans(), st.booleans())
def test_a_cut_stream_becomes_the_same_events(
    frames: list[bytes], size: int, include_tool_activity: bool, resumed: bool
) -> None:
    stream = b"".join(frames)
    whole, cut = (
        read_all(EventReader(max_frame=MAX_FRAME, include_tool_activity=include_tool_activity, resumed=resumed), reads)
        for reads in ([stream], [stream[at : at + size] for at in range(0, len(stream), size)])
    )
    assert whole == cut


@examples(300)
@given(st.lists(FRAMES, max_size=12), st.booleans())
def test_line_ends_of_another_kind_make_no_difference(frames: list[bytes], include_tool_activity: bool) -> None:
    stream = b"".join(frames)
    lf, crlf = (
        read_all(EventReader(max_frame=MAX_FRAME, include_tool_activity=include_tool_activity), [reads])
        for reads in (stream, stream.replace(b"\n", b"\r\n"))
    )
    assert lf == crlf


# Events without fields of their own

START = b'data: {"type":"event","event":"execution_start","sessionId":"s","data":{"executionId":"e1"}}\n\n'
PLAIN = {
    "execution_start": ("", [RunStarted()]),
    "tick_start": ('"tick":2', [TickStarted()]),
    "message_start": ('"role":"assistant"', []),
    "content_start": ('"blockType":"text","blockIndex":0', [TextStarted()]),
    "content_end": ('"blockType":"text","blockIndex":0', []),
}
CITED = '"blockType":"text","metadata":{"citations":[{"url":"u","title":"t"}]}'
NOT_PLAIN = {
    "a child's": ("tick_start", '"spawnPath":["s1"]', []),
    "a child's, spelled otherwise": ("tick_start", '"sp\\u0061wnPath":["s1"]', []),
    "a child's, with spaces": ("execution_start", '"spawnPath" : [ "s1" ]', []),
    "a child's block": ("content_start", '"blockType":"text","spawnPath":["s1"]', []),
    "own, with the mark of a child": ("tick_start", '"spawnPath":[]', [TickStarted()]),
    "a block of another kind": ("content_start", '"blockType":"image"', []),
    "a block of another kind, spelled otherwise": ("content_start", '"block\\u0054ype":"image"', []),
    "a block of another kind that holds a text": (
        "content_start",
        '"blockType":"image","raw":{"blockType":"text"}',
        [],
    ),
    "a block of no kind": ("content_start", '"blockIndex":0', [TextStarted()]),
    "a block that cites": ("content_end", CITED, [TextCited((Citation("u", "t", None, None),))]),
    "a block that cites, spelled otherwise": (
        "content_end",
        CITED.replace("meta", "m\\u0065ta"),
        [TextCited((Citation("u", "t", None, None),))],
    ),
}


def read_members(name: str, members: str) -> list[Any]:
    """The outcome in the first bytes of a frame with these members."""
    data = f'{{"type":"{name}","executionId":"e1"{"," if members else ""}{members}}}'
    frame = PAYLOADS[0].format(name=name, data=data).encode()
    return read_all(EventReader(max_frame=MAX_FRAME), [START + FRAMINGS[0] % frame])[1:-2]


@pytest.mark.parametrize("name", PLAIN)
def test_events_without_fields_of_their_own(name: str) -> None:
    members, expected = PLAIN[name]
    assert read_members(name, members) == expected


@pytest.mark.parametrize("case", NOT_PLAIN)
def test_fields_that_change_such_an_event(case: str) -> None:
    name, members, expected = NOT_PLAIN[case]
    assert read_members(name, members) == expected


@pytest.mark.parametrize("name", PLAIN)
def test_behind_the_end_no_name_says_anything(name: str) -> None:
    ended = FRAMINGS[0] % PAYLOADS[0].format(name="execution_end", data='{"executionId":"e1"}').encode()
    frame = FRAMINGS[0] % PAYLOADS[0].format(name=name, data=f'{{"type":"{name}",{PLAIN[name][0]}}}').encode()
    reader = EventReader(max_frame=MAX_FRAME)
    assert read_all(reader, [START + ended + frame]) == [RunStarted(), RunEnded(), True, "e1"]
