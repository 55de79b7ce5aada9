"""Any value in any field of any event: the client gets an answer or one error, and nothing else fails."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pytest

from oaicompat_proxy.core.errors import InternalError
from oaicompat_proxy.dialects.ag_ui.dialect import AgUi
from oaicompat_proxy.recordings.masking import mask
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.paths import GOLDEN
from tests.support.pipeline import Options, collected, new_reader, read_events, streamed, translate
from tests.unit.dialects.ag_ui.test_schema import CASES, EVERY, SWAPS, places, put

pytestmark = pytest.mark.slow

OPTIONS = {
    "plainly": Options(dialect="ag-ui"),
    "everything shown": Options(
        frozenset({"tide"}), True, server_tools="content", confirmations="ask", dialect="ag-ui"
    ),
    "approved": Options(server_tools="reasoning", confirmations="approve", dialect="ag-ui"),
}

START = {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"}
DONE = {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1"}
TEXT = {"type": "TEXT_MESSAGE_CHUNK", "messageId": "a0", "delta": "Six."}
CALL = {"type": "TOOL_CALL_CHUNK", "toolCallId": "c1", "toolCallName": "tide", "delta": "{}"}
CHILD = {"type": "SUBAGENT_STARTED", "subagentRunId": "s1", "name": "sonar"}

MORE: list[Any] = ["\ud83c", "x" * 5000, 10**400, 1e400, [[[]]] * 3, {"": {"": {}}}, {"type": "text"}, "null", "{}"]
"""Beside those that the schema's test puts there."""

TRANSCRIPTS = [
    path.name.removesuffix(".native.sse")
    for path in sorted(GOLDEN.glob("ag_ui_*.native.sse"))
    if any(word in path.name for word in ("interrupt", "suspend", "open_call", "confirm"))
]
"""The events in which frameworks send data that the protocol has no fields for."""


def around(event: dict[str, Any]) -> list[dict[str, Any]]:
    """A run with this event in it."""
    name = event.get("type")
    if name == "RUN_STARTED":
        return [event, TEXT, DONE]
    before = (
        [CHILD] if name in ("SUBAGENT_FINISHED", "SUBAGENT_ERROR") else [CALL] if name == "TOOL_CALL_RESULT" else []
    )
    return [START, *before, event, *([] if name in ("RUN_FINISHED", "RUN_ERROR") else [DONE])]


def wire_of(events: Iterable[Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def swaps_of(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in places(event):
        for value in [*SWAPS, *MORE]:
            yield put(event, path, value)
    for key in event:
        yield {each: value for each, value in event.items() if each != key}


def hold_laws(wire: bytes, options: Options) -> None:
    """Raises AssertionError, or the exception of a bug."""
    reader = new_reader(wire, include_tool_activity=options.server_tools != "hide", dialect="ag-ui")
    events = (event for events in (reader.feed(wire), _at_end(reader)) for event in events)
    outcome = translate(events, options)
    stream, body = streamed(outcome, options), collected(outcome, options)
    answer = check_stream(stream, include_usage=options.include_usage) if stream is not None else None
    if outcome.failure is not None:
        assert not isinstance(outcome.failure, InternalError)
        assert len(body) < 3000
        assert answer is None or answer.error == check_error_body(body)
        return
    whole = check_body(body)
    assert answer is not None
    assert (answer.text, answer.tool_calls, answer.finish_reason) == (whole.text, whole.tool_calls, whole.finish_reason)


def _at_end(reader: Any) -> Iterator[Any]:
    yield from reader.flush(at_end=True)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(
    ("name", "fields"), [*CASES, ("RUN_ERROR", {"message": "It broke.", "code": "fog", "usage": []})]
)
def test_any_value_in_any_field_is_an_answer_or_one_error(name: str, fields: dict[str, Any], options: Options) -> None:
    for event in swaps_of({"type": name, **EVERY, **fields}):
        hold_laws(wire_of(around(event)), options)


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_any_value_in_what_frameworks_say_is_an_answer_or_one_error(name: str) -> None:
    native = (GOLDEN / f"{name}.native.sse").read_bytes()
    events = [json.loads(line.removeprefix(b"data: ")) for line in native.split(b"\n") if line.startswith(b"data: ")]
    for number, event in enumerate(events):
        if event["type"] in ("CUSTOM", "RUN_FINISHED", "TOOL_CALL_START"):
            for swapped in swaps_of(event):
                hold_laws(wire_of([*events[:number], swapped, *events[number + 1 :]]), OPTIONS["everything shown"])


@pytest.mark.parametrize("reason", ["length", "max_tokens", "max_output_tokens", "content_filter", "safety", "stop"])
@pytest.mark.parametrize("name", ["TEXT_MESSAGE_CHUNK", "TEXT_MESSAGE_END", "RUN_FINISHED"])
def test_a_masked_recording_ends_for_the_same_reason(name: str, reason: str) -> None:
    event = {"type": name, "messageId": "a0", "metadata": {"finishReason": reason}}
    wire = wire_of([START, TEXT, {**DONE, **event} if name == "RUN_FINISHED" else event, DONE])
    finishes = [
        orjson.loads(collected(translate(read_events([each], dialect="ag-ui"), OPTIONS["plainly"]), OPTIONS["plainly"]))
        for each in (wire, mask(wire, AgUi.recorded_fields))
    ]
    plain, masked = (each["choices"][0]["finish_reason"] for each in finishes)
    assert plain == masked
    assert (plain == "stop") == (reason == "stop")
