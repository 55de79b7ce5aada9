"""Tests of the conformance checker: it accepts valid answers and rejects each single fault."""

import json
from typing import Any

import pytest

from tests.support.conformance import Answer, Violation, check_body, check_error_body, check_stream

SHARED = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1790000000, "model": "owl"}
ROLE = {"role": "assistant", "content": "", "refusal": None}
ROLE_BEFORE_CALL = {**ROLE, "content": None}
USAGE = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
ERROR = {"message": "It broke.", "type": "server_error", "param": None, "code": None}
DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return event({**SHARED, "choices": [choice], **more})


def head(index: int, call_id: str, name: str) -> bytes:
    function = {"name": name, "arguments": ""}
    return chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})


def piece(index: int, arguments: str) -> bytes:
    return chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})


def usage_chunk(usage: Any = USAGE) -> bytes:
    return event({**SHARED, "choices": [], "usage": usage})


TEXT = [chunk(ROLE), chunk({"content": "Hi"})]
STOP = chunk({}, "stop")
CALL = [chunk(ROLE_BEFORE_CALL), head(0, "c1", "tide"), piece(0, "{}")]
CALLED = chunk({}, "tool_calls")
ANSWER = Answer("Hi", finish_reason="stop", role="assistant", id="chatcmpl-1", created=1790000000, model="owl")


def test_an_answer_is_read() -> None:
    assert check_stream(b"".join([*TEXT, STOP, DONE]), include_usage=False) == ANSWER


def test_calls_are_read() -> None:
    raw = b"".join([*CALL, head(1, "c2", "moon"), piece(1, '{"a'), piece(1, '":1}'), CALLED, DONE])
    assert check_stream(raw, include_usage=False).tool_calls == [("c1", "tide", "{}"), ("c2", "moon", '{"a":1}')]


def test_an_error_is_read_and_what_came_before_it() -> None:
    answer = check_stream(b"".join([*TEXT, event({"error": ERROR}), DONE]), include_usage=False)
    assert (answer.text, answer.error, answer.finish_reason) == ("Hi", ERROR, None)


def test_comments_may_stand_between_events() -> None:
    raw = b": ping\n\n" + TEXT[0] + b": ping\n\n:\n\n" + TEXT[1] + STOP + DONE
    assert check_stream(raw, include_usage=False) == ANSWER


REASON = chunk({"reasoning_content": "Hm"})


def test_pings_are_counted_and_say_nothing() -> None:
    quiet = chunk({"reasoning_content": ""})
    raw = [TEXT[0], chunk({}), REASON, quiet, quiet, TEXT[1], chunk({}), STOP, DONE]
    answer = check_stream(b"".join(raw), include_usage=False)
    assert (answer.text, answer.reasoning, answer.pings) == ("Hi", "Hm", 4)


def test_usage_is_read_where_it_was_asked_for() -> None:
    raw = b"".join([chunk(ROLE, usage=None), chunk({}, "stop", usage=None), usage_chunk(), DONE])
    assert check_stream(raw, include_usage=True).usage == USAGE


def test_usage_may_be_unknown() -> None:
    raw = b"".join([chunk(ROLE, usage=None), chunk({}, "stop", usage=None), DONE])
    assert check_stream(raw, include_usage=True).usage is None


@pytest.mark.parametrize("reasoning_field", ["reasoning_content", "reasoning", "both"])
def test_reasoning_is_read_where_it_is_expected(reasoning_field: str) -> None:
    fields = ["reasoning_content", "reasoning"] if reasoning_field == "both" else [reasoning_field]
    raw = b"".join([TEXT[0], chunk(dict.fromkeys(fields, "Hm")), TEXT[1], STOP, DONE])
    assert check_stream(raw, include_usage=False, reasoning_field=reasoning_field).reasoning == "Hm"
    with pytest.raises(Violation):
        check_stream(raw, include_usage=False, reasoning_field="none")


def cited(start: int, end: int, **more: Any) -> bytes:
    citation = {"start_index": start, "end_index": end, "url": "https://tides.example", "title": "Tides"}
    return chunk({"annotations": [{"type": "url_citation", "url_citation": citation, **more}]})


def test_annotations_are_read() -> None:
    [annotation] = check_stream(b"".join([*TEXT, cited(0, 2), STOP, DONE]), include_usage=False).annotations
    assert annotation["url_citation"]["title"] == "Tides"


FAULTS: dict[str, list[bytes]] = {
    "nothing": [],
    "no [DONE]": [*TEXT, STOP],
    "no ending": [*TEXT, DONE],
    "after [DONE]": [*TEXT, STOP, DONE, b": bye\n\n"],
    "[DONE] twice": [*TEXT, STOP, DONE, DONE],
    "a comment after [DONE]": [*TEXT, STOP, DONE, b":\n\n"],
    "no last empty line": [*TEXT, STOP, b"data: [DONE]\n"],
    "CR LF": [*TEXT, STOP.replace(b"\n", b"\r\n"), DONE],
    "no space": [*TEXT, STOP.replace(b"data: ", b"data:"), DONE],
    "two lines": [*TEXT, STOP.replace(b"\n\n", b"\ndata: x\n\n"), DONE],
    "an empty line more": [*TEXT, b"\n", STOP, DONE],
    "an empty block": [*TEXT, b"\n\n", STOP, DONE],
    "id": [b"id: 1\n\n", *TEXT, STOP, DONE],
    "event": [*TEXT, b"event: chunk\n" + STOP, DONE],
    "retry": [b"retry: 1\n\n", *TEXT, STOP, DONE],
    "a ping before the role": [chunk({}), *TEXT, STOP, DONE],
    "a ping behind the finish": [*TEXT, STOP, chunk({}), DONE],
    "a ping of another stream": [*TEXT, chunk({}).replace(b"chatcmpl-1", b"chatcmpl-2"), STOP, DONE],
    "a ping that closes the reasoning": [TEXT[0], REASON, chunk({}), STOP, DONE],
    "a ping of reasoning that is over": [*TEXT, chunk({"reasoning_content": ""}), STOP, DONE],
    "a comment within an event": [*TEXT, b": ping\n" + STOP, DONE],
    "no UTF-8": [TEXT[0], chunk({"content": "?"}).replace(b"?", b"\xff"), STOP, DONE],
    "U+2028": [TEXT[0], chunk({"content": "?"}).replace(b"?", "\u2028".encode()), STOP, DONE],
    "U+2029": [TEXT[0], chunk({"content": "?"}).replace(b"?", "\u2029".encode()), STOP, DONE],
    "U+0085": [TEXT[0], chunk({"content": "?"}).replace(b"?", "\x85".encode()), STOP, DONE],
    "BOM": [b"\xef\xbb\xbf", *TEXT, STOP, DONE],
    "a lone surrogate": [TEXT[0], chunk({"content": "\ud83d"}), STOP, DONE],
    "no JSON": [*TEXT, b"data: {\n\n", STOP, DONE],
    "NaN": [*TEXT, STOP.replace(b"null", b"NaN"), DONE],
    "a key twice": [*TEXT, STOP.replace(b'"index": 0', b'"index": 0, "index": 0'), DONE],
    "no object": [*TEXT, b"data: 7\n\n", STOP, DONE],
    "another id": [*TEXT, STOP.replace(b"chatcmpl-1", b"chatcmpl-2"), DONE],
    "another time": [*TEXT, STOP.replace(b"1790000000", b"1790000001"), DONE],
    "a time that is no integer": [each.replace(b"1790000000", b"1790000000.5") for each in [*TEXT, STOP, DONE]],
    "another model": [*TEXT, STOP.replace(b"owl", b"elk"), DONE],
    "another object": [*TEXT, STOP.replace(b"chat.completion.chunk", b"chat.completion"), DONE],
    "no choices": [*TEXT, event(SHARED), STOP, DONE],
    "no choice": [*TEXT, event({**SHARED, "choices": []}), STOP, DONE],
    "another index": [TEXT[0], TEXT[1].replace(b'"index": 0', b'"index": 1'), STOP, DONE],
    "a field of somebody's": [TEXT[0], chunk({"content": "Hi"}, event="x"), STOP, DONE],
    "a delta of somebody's": [TEXT[0], chunk({"thinking": "Hm"}), STOP, DONE],
    "two kinds in a delta": [TEXT[0], chunk({"content": "Hi", "reasoning_content": "Hm"}), STOP, DONE],
    "no role": [TEXT[1], STOP, DONE],
    "no chunk but the finish": [STOP, DONE],
    "role twice": [TEXT[0], *TEXT, STOP, DONE],
    "role with text": [chunk({**ROLE, "content": "Hi"}), STOP, DONE],
    "another role": [chunk({**ROLE, "role": "tool"}), STOP, DONE],
    "empty text": [TEXT[0], chunk({"content": ""}), STOP, DONE],
    "null text": [TEXT[0], chunk({"content": None}), STOP, DONE],
    "finish twice": [*TEXT, STOP, STOP, DONE],
    "text after the finish": [*TEXT, STOP, TEXT[1], DONE],
    "text in the finish": [TEXT[0], chunk({"content": "Hi"}, "stop"), DONE],
    "another reason": [*TEXT, chunk({}, "end_turn"), DONE],
    "tool_calls without a call": [*TEXT, CALLED, DONE],
    "a call that ends with stop": [*CALL, STOP, DONE],
    "a call announced but not made": [chunk(ROLE_BEFORE_CALL), TEXT[1], STOP, DONE],
    "index that does not begin at 0": [chunk(ROLE), head(1, "c1", "tide"), piece(1, "{}"), CALLED, DONE],
    "index with a gap": [*CALL, head(2, "c2", "moon"), piece(2, "{}"), CALLED, DONE],
    "interleaved calls": [*CALL, head(1, "c2", "moon"), piece(0, "{}"), piece(1, "{}"), CALLED, DONE],
    "a head twice": [*CALL[:2], head(0, "c1", "tide"), piece(0, "{}"), CALLED, DONE],
    "arguments without a head": [chunk(ROLE), piece(0, "{}"), CALLED, DONE],
    "arguments in the head": [chunk(ROLE), CALL[1].replace(b'"arguments": ""', b'"arguments": "{}"'), CALLED, DONE],
    "no arguments": [*CALL[:2], CALLED, DONE],
    "one id for two calls": [*CALL, head(1, "c1", "moon"), piece(1, "{}"), CALLED, DONE],
    "a call without id": [chunk(ROLE), head(0, "", "tide"), piece(0, "{}"), CALLED, DONE],
    "another type": [CALL[0], CALL[1].replace(b'"function",', b'"custom",'), CALL[2], CALLED, DONE],
    "usage that nobody asked for": [*TEXT, STOP, usage_chunk(), DONE],
    "null usage that nobody asked for": [chunk(ROLE, usage=None), TEXT[1], STOP, DONE],
    "annotations twice": [*TEXT, cited(0, 2), cited(0, 1), STOP, DONE],
    "text behind the annotations": [*TEXT, cited(0, 2), TEXT[1], STOP, DONE],
    "an empty list of annotations": [*TEXT, chunk({"annotations": []}), STOP, DONE],
    "a citation beyond the text": [*TEXT, cited(0, 3), STOP, DONE],
    "a citation that ends before it begins": [*TEXT, cited(2, 1), STOP, DONE],
    "a citation of another kind": [*TEXT, cited(0, 2, type="file_citation"), STOP, DONE],
    "a citation with more": [*TEXT, cited(0, 2, note="x"), STOP, DONE],
    "an error and a finish": [*TEXT, event({"error": ERROR}), STOP, DONE],
    "a finish and an error": [*TEXT, STOP, event({"error": ERROR}), DONE],
    "two errors": [*TEXT, event({"error": ERROR}), event({"error": ERROR}), DONE],
    "an error beside choices": [*TEXT, event({**SHARED, "choices": [], "error": ERROR}), DONE],
    "an error that is a string": [*TEXT, event({"error": "It broke."}), DONE],
    "an error without a message": [*TEXT, event({"error": {**ERROR, "message": ""}}), DONE],
    "a numeric code": [*TEXT, event({"error": {**ERROR, "code": 502}}), DONE],
    "an error with a stack": [*TEXT, event({"error": {**ERROR, "stack": "at x"}}), DONE],
}


@pytest.mark.parametrize("events", FAULTS.values(), ids=FAULTS)
def test_a_fault_in_a_stream_is_refused(events: list[bytes]) -> None:
    with pytest.raises(Violation):
        check_stream(b"".join(events), include_usage=False)


USAGE_FAULTS: dict[str, list[bytes]] = {
    "no null on the chunks before": [chunk(ROLE), chunk({}, "stop", usage=None), usage_chunk()],
    "usage on the finish": [chunk(ROLE, usage=None), chunk({}, "stop", usage=USAGE)],
    "usage twice": [chunk(ROLE, usage=None), chunk({}, "stop", usage=None), usage_chunk(), usage_chunk()],
    "usage before the finish": [chunk(ROLE, usage=None), usage_chunk(), chunk({}, "stop", usage=None)],
    "a null usage chunk": [chunk(ROLE, usage=None), chunk({}, "stop", usage=None), usage_chunk(None)],
    "no total": [chunk(ROLE, usage=None), chunk({}, "stop", usage=None), usage_chunk({"prompt_tokens": 1})],
    "a count that is none": [
        chunk(ROLE, usage=None),
        chunk({}, "stop", usage=None),
        usage_chunk({**USAGE, "total_tokens": -1}),
    ],
}


@pytest.mark.parametrize("events", USAGE_FAULTS.values(), ids=USAGE_FAULTS)
def test_a_fault_in_the_usage_is_refused(events: list[bytes]) -> None:
    with pytest.raises(Violation):
        check_stream(b"".join([*events, DONE]), include_usage=True)


MESSAGE = {"role": "assistant", "content": "Hi", "refusal": None, "annotations": []}
TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": "{}"}}


def body(message: dict[str, Any], reason: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return json.dumps({**SHARED, "object": "chat.completion", "choices": [choice], **more}).encode()


def test_a_body_is_read() -> None:
    assert check_body(body(MESSAGE)) == ANSWER
    assert check_body(body(MESSAGE, usage=USAGE)).usage == USAGE
    calling = {**MESSAGE, "content": None, "tool_calls": [TOOL_CALL]}
    assert check_body(body(calling, "tool_calls")).tool_calls == [("c1", "tide", "{}")]


BODY_FAULTS: dict[str, bytes] = {
    "no finish reason": body(MESSAGE, None),
    "null usage": body(MESSAGE, usage=None),
    "no role": body({**MESSAGE, "role": None}),
    "a field of somebody's": body({**MESSAGE, "thinking": "Hm"}),
    "null content without a call": body({**MESSAGE, "content": None}),
    "empty content beside a call": body({**MESSAGE, "content": "", "tool_calls": [TOOL_CALL]}, "tool_calls"),
    "no calls": body({**MESSAGE, "tool_calls": []}),
    "arguments that are no string": body(
        {**MESSAGE, "tool_calls": [{**TOOL_CALL, "function": {"name": "tide", "arguments": {}}}]}, "tool_calls"
    ),
    "no arguments": body(
        {**MESSAGE, "tool_calls": [{**TOOL_CALL, "function": {"name": "tide", "arguments": ""}}]}, "tool_calls"
    ),
    "a reason that does not fit": body({**MESSAGE, "tool_calls": [TOOL_CALL]}, "stop"),
    "more than one line": body(MESSAGE) + b"\n",
    "an error": json.dumps({"error": ERROR}).encode(),
}


@pytest.mark.parametrize("raw", BODY_FAULTS.values(), ids=BODY_FAULTS)
def test_a_fault_in_a_body_is_refused(raw: bytes) -> None:
    with pytest.raises(Violation):
        check_body(raw)


def test_an_error_body_is_read() -> None:
    assert check_error_body(json.dumps({"error": ERROR}).encode()) == ERROR


@pytest.mark.parametrize("value", [{}, {"error": None}, {"error": {}}, ERROR, {"error": ERROR, "detail": "x"}, []])
def test_a_fault_in_an_error_body_is_refused(value: Any) -> None:
    with pytest.raises(Violation):
        check_error_body(json.dumps(value).encode())
