"""The demo's frames against real ones: order of events, order of fields, bytes."""

import json
from collections import Counter
from itertools import count
from typing import Any

import pytest

from oaicompat_proxy.demo import texts
from oaicompat_proxy.demo.agents import AGENTS
from oaicompat_proxy.demo.execution import Execution, RunContext
from oaicompat_proxy.demo.frames import FrameFactory, Stamps, stringify, transport_error
from oaicompat_proxy.demo.gateway import INTERNAL_FRAME
from oaicompat_proxy.demo.scenarios import script
from oaicompat_proxy.demo.script import FailRun, Say, Script, ScriptedToolCall, Spawn, Think, Tick
from tests.support.paths import RECORDINGS

HEAD = "execution_start tick_start compiled model_request provider_request"
TEXT = "message_start content_start content_delta*{} content_end content"
SAID = "message_end message model_response"
TAIL = "tick_end context_update"
LAST = "result execution_end"
END = f"{LAST}*2"
CALL = "tool_call_start tool_call_delta*4 tool_call_end tool_call"
ANSWERED = f"{HEAD} {TEXT} {SAID} entry_committed*2 {TAIL} {END}"
CHILD = f"{HEAD} {TEXT.format(3)} {SAID} entry_committed*2 {TAIL} result execution_end"
SECOND_TICK = f"tick_start compiled model_request provider_request {TEXT} {SAID} entry_committed {TAIL} {END}"

ORDERS = {
    "text": ANSWERED.format(20),
    "unicode": ANSWERED.format(10),
    "max_tokens": ANSWERED.format(3),
    "usage": ANSWERED.format(2),
    "reasoning": f"{HEAD} message_start reasoning_start reasoning_delta*4 content_start content_delta*4 "
    f"content_end content reasoning_end reasoning {SAID} entry_committed*2 {TAIL} {END}",
    "tool_client": f"{HEAD} {TEXT.format(1)} {CALL} {SAID} tool_result_start tool_result entry_committed*3 "
    f"{TAIL} {END}",
    "multi_tick": f"{HEAD} {TEXT.format(2)} {CALL} {SAID} tool_result_start tool_result entry_committed*3 "
    f"{TAIL} {SECOND_TICK.format(4)}",
    "spawn": f"{HEAD} {TEXT.format(2)} {CALL} {SAID} tool_result_start spawn_start {CHILD} spawn_end "
    f"tool_result entry_committed*3 {TAIL} {SECOND_TICK.format(2)}",
    "server_stop": f"{HEAD} {TEXT.format(2)} {CALL.replace('*4', '*2')} {SAID} tool_result_start tool_result "
    f"entry_committed*3 {TAIL} {END}",
    "session-first-send": ANSWERED.format(1),
    "session-second-send": ANSWERED.format(1),
    "v14-text": f"execution_start tick_start {TEXT.format(20)} message_end message entry_committed*2 {TAIL} {LAST}",
    "v14-nostream-tool_client": "execution_start tick_start tool_call tool_result_start tool_result "
    f"entry_committed*3 {TAIL} {LAST}",
    "error_start": f"{HEAD} execution_end error",
    "error_midstream": f"{HEAD} message_start content_start content_delta*3 execution_end error",
}

ADD = ScriptedToolCall("call_m1", "add", ('{"a"', ":19,", '"b":', "23}"), "42")
SUM = ScriptedToolCall("call_m1", "add", ('{"a":1,"', 'b":2}'), "3")
WEATHER = ScriptedToolCall(
    "call_abc1", "client_weather", ('{"city"', ':"Paris', '","unit', '":"C"}'), executed_by="client"
)
CHILD_SCRIPT = script(Say(("CHILD ", "SAYS ", "HI.")))
ASK = ScriptedToolCall(
    "call_s1",
    "ask_child",
    ('{"q', '":"', 'hi"', "}"),
    "CHILD SAYS HI.",
    spawn=Spawn("[[scenario:child]]", CHILD_SCRIPT),
)


def tool_tick(before: tuple[str, ...], call: ScriptedToolCall) -> Tick:
    return Tick((Say(before), call), stop_reason="tool_use", should_continue=True)


SCRIPTS = {
    "text": script(Say(tuple("The quick brown fox."))),
    "unicode": script(Say(texts.UNICODE)),
    "max_tokens": script(Say(("This is ", "cut ", "of")), stop_reason="max_tokens"),
    "usage": script(Say(("Usage ", "test."))),
    "reasoning": script(Think(("Let me ", "think ", "about ", "this.")), Say(("The ", "answer ", "is ", "42."))),
    "tool_client": script(Say(("Checking. ",)), WEATHER, stop_reason="tool_use"),
    "multi_tick": Script((tool_tick(("Let me ", "compute. "), ADD), Tick((Say(("The ", "sum ", "is ", "42.")),)))),
    "spawn": Script((tool_tick(("Parent ", "asks. "), ASK), Tick((Say(("Parent ", "done.")),)))),
    "server_stop": script(Say(("Addin", "g.")), SUM, stop_reason="tool_use"),
    "session-first-send": script(Say(("hi",))),
    "session-second-send": script(Say(("hi",))),
    "v14-text": script(Say(tuple("The quick brown fox."))),
    "v14-nostream-tool_client": script(Say(("Let me check.",)), WEATHER, stop_reason="tool_use"),
    "error_start": script(FailRun("Fake provider exploded at start (401 invalid api key)")),
    "error_midstream": script(Say(("One ", "two ", "three ")), FailRun("Fake provider exploded midstream")),
}

KEYS = {
    "execution_start": "type executionId timestamp id tick sequence",
    "tick_start": "type tick timestamp executionId id sequence",
    "compiled": "type tick timestamp messages tools rawCompiled formattedInput executionId id sequence",
    "message_start": "type id sequence tick timestamp role model executionId",
    "content_delta": "type id sequence tick timestamp blockType blockIndex delta executionId",
    "message_end": "type id sequence tick timestamp stopReason usage executionId",
    "entry_committed": "type entry executionId timelineIndex id timestamp tick sequence",
    "tick_end": "type tick shouldContinue usage stopReason model timestamp executionId id sequence",
    "tool_result_start": "type callId name executionId id timestamp tick sequence",
    "result": "type result timestamp executionId id tick sequence",
}


def frame_factory() -> FrameFactory:
    ids, numbers = count(1), count(1)
    stamps = Stamps(lambda: 1_795_332_297_094, lambda: f"id-{next(ids)}")
    return FrameFactory("demo:x", "execution", stamps, lambda: next(numbers))


def played(named: str) -> bytes:
    """As the transports of the recording's release send it."""
    agent = next(agent for agent in AGENTS if agent.streaming is not named.startswith("v14-nostream"))
    user = {"role": "user", "content": [{"type": "text", "text": f"[[scenario:{named}]]"}], "id": "m1"}
    earlier = Execution(SCRIPTS[named], frame_factory(), RunContext(agent, agent.tools), [user])
    if named == "session-second-send":
        assert list(earlier.run())
    execution = Execution(SCRIPTS[named], frame_factory(), RunContext(agent, agent.tools, earlier.entries), [user])
    items = [item for item in execution.run() if isinstance(item, bytes)]
    if named.startswith("v14"):
        return b"".join(item for item in items if not INTERNAL_FRAME.match(item))
    return b"".join([*items, *execution.closing_frames()])


def frames_in(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame.removeprefix(b"data: ")) for frame in body.split(b"\n\n") if frame]


def names(orders: str) -> list[str]:
    parts = (part.partition("*") for part in orders.split())
    return [name for name, _, times in parts for _ in range(int(times or 1))]


DECLARED = {"modelName", "contextWindow"}
"""An application may describe its model."""


def shape(value: Any) -> Any:
    """Keys in their order, at every depth; tools are the agent's own."""
    if isinstance(value, dict):
        known = {key: part for key, part in value.items() if key not in DECLARED}
        return [(key, None if key == "tools" else shape(part)) for key, part in known.items()]
    if isinstance(value, list):
        return [shape(part) for part in value]
    return type(value).__name__


def recorded() -> list[str]:
    return sorted(path.stem for path in RECORDINGS.glob("*.sse")) or ["text"]


@pytest.mark.parametrize("name", ORDERS)
def test_order_of_events(name: str) -> None:
    assert [frame["event"] for frame in frames_in(played(name))] == names(ORDERS[name])


@pytest.mark.parametrize("name", recorded())
def test_every_field_stands_where_the_recording_has_it(name: str) -> None:
    path = RECORDINGS / f"{name}.sse"
    real = frames_in(path.read_bytes() if path.exists() else played(name))
    assert [frame["event"] for frame in real] == names(ORDERS[name])
    for ours, theirs in zip(frames_in(played(name)), real, strict=True):
        assert shape(ours) == shape(theirs), theirs["event"]


def test_order_of_fields() -> None:
    seen = {frame["event"]: " ".join(frame["data"]) for frame in frames_in(played("multi_tick"))}
    assert {event: seen[event] for event in KEYS} == KEYS


def test_model_events_always_say_tick_1() -> None:
    frames = frames_in(played("multi_tick"))
    assert {frame["data"]["tick"] for frame in frames if frame["event"] == "content_delta"} == {1}
    assert [frame["data"]["tick"] for frame in frames if frame["event"] == "tick_start"] == [1, 2]
    assert [frame["data"]["tick"] for frame in frames if frame["event"] == "result"] == [3]


def test_sequence_rises_by_one_and_goes_on_inside_children() -> None:
    *numbered, synthetic = frames_in(played("spawn"))
    assert [frame["data"]["sequence"] for frame in numbered] == [*range(1, len(numbered) + 1)]
    assert synthetic["data"] == {}


def test_spawn_path_comes_last_and_only_on_the_child() -> None:
    frames = frames_in(played("spawn"))
    inside = [frame["data"] for frame in frames if "spawnPath" in frame["data"]]
    assert [frame["type"] for frame in inside] == names(CHILD)
    assert {[*data][-1] for data in inside} == {"spawnPath"}
    assert len({data["executionId"] for data in inside}) == 1


def test_the_same_run_is_the_same_bytes() -> None:
    assert played("spawn") == played("spawn")


def test_ids_are_never_used_twice_for_events() -> None:
    ids = Counter(frame["data"].get("id") for frame in frames_in(played("multi_tick"))[:-1])
    assert max(ids.values()) == 1


def test_json_is_what_javascript_writes() -> None:
    assert stringify({"a": "é\u2028\x7f\n\x00", "b": 1}) == '{"a":"é\u2028\x7f\\n\\u0000","b":1}'.encode()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("\ud83d", rb'"\ud83d"'),
        ("\ude00 done", rb'"\ude00 done"'),
        ("\ud83d\ude00 done", '"😀 done"'.encode()),
        ("é\udfff", '"é'.encode() + rb'\udfff"'),
    ],
)
def test_half_pairs_are_escaped_and_whole_ones_are_not(text: str, written: bytes) -> None:
    assert stringify(text) == written


def test_unicode_is_not_escaped() -> None:
    assert "日本語".encode() in played("unicode")
    assert "\u2028".encode() in played("unicode")


def test_transport_error() -> None:
    frame = b'data: {"type":"event","event":"error","sessionId":"s","data":{"error":"no"}}\n\n'
    assert transport_error("s", "no") == frame


def test_times_and_event_ids() -> None:
    frame = frames_in(frame_factory().model_event("content_delta", delta="x"))[0]["data"]
    assert (frame["timestamp"], frame["id"]) == ("2026-11-22T07:24:57.094Z", "evt_1795332297094_1")
