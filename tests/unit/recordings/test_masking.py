"""A masked stream contains no text of the original, and becomes the same answer, masked."""

from __future__ import annotations

import json
import string
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.api.anthropic.api import MESSAGES
from oaicompat_proxy.api.openai.recorded_fields import RECORDED_FIELDS as ANSWERS
from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.core.recorded_fields import Readable, RecordedFields, Rule
from oaicompat_proxy.dialects.registry import DIALECTS
from oaicompat_proxy.recordings.masked_text import mask_text
from oaicompat_proxy.recordings.masking import MAX_ID, Masker
from oaicompat_proxy.recordings.masking import mask as mask_as
from tests.support.paths import GOLDEN, RECORDINGS
from tests.support.pipeline import Options, Outcome, collected, read_events, streamed, translate

NATIVES = [
    *sorted(RECORDINGS.rglob("*.sse")),
    *sorted(GOLDEN.glob("*.native.sse")),
]
ASKS_IN_FREE_PLACES = {
    *("mastra-suspend", "ag_ui_suspend_asked.native"),
    *("ag_ui_confirmation_call.native", "ag_ui_confirmation_call_asked.native"),
}
"""Runs whose question stands below keys of the framework's own: it is masked with them, so it is not found again."""

AGENTICK = DIALECTS["agentick"].recorded_fields
OPTIONS = [
    Options(include_usage=True),
    Options(server_tools="reasoning"),
    Options(server_tools="content"),
]


def dialect_of(path: Path) -> str:
    return "ag-ui" if "ag_ui" in path.name or path.parent.name == "ag-ui" else "agentick"


def mask(data: bytes) -> bytes:
    return mask_as(data, AGENTICK)


def outcome_of(native: bytes, options: Options) -> Outcome:
    include_tool_activity = options.server_tools != "hide"
    return translate(
        read_events([native], include_tool_activity=include_tool_activity, dialect=options.dialect), options
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.server_tools)
@pytest.mark.parametrize("path", NATIVES, ids=lambda path: path.stem)
def test_the_answer_to_a_masked_run_is_the_masked_answer(path: Path, options: Options) -> None:
    native = path.read_bytes()
    options = options._replace(dialect=dialect_of(path))
    fields = DIALECTS[options.dialect].recorded_fields
    plain, masked = outcome_of(native, options), outcome_of(mask_as(native, fields), options)
    if path.stem in ASKS_IN_FREE_PLACES:
        assert type(masked.failure) is type(plain.failure)
        assert [type(chunk) for chunk in masked.chunks] == [type(chunk) for chunk in plain.chunks]
        return
    assert mask_as(streamed(masked, options) or b"", ANSWERS) == mask_as(streamed(plain, options) or b"", ANSWERS)
    assert mask_as(collected(masked, options), ANSWERS) == mask_as(collected(plain, options), ANSWERS)


@pytest.mark.slow
@pytest.mark.parametrize("path", NATIVES, ids=lambda path: path.stem)
def test_masking_twice_is_masking_once(path: Path) -> None:
    once = mask(path.read_bytes())
    assert mask(once) == once


@pytest.mark.slow
def test_masking_twice_is_masking_once_for_an_unknown_event() -> None:
    """Its masked name is a name, too: the line does not become one of an object without a name."""
    once = mask(b'data: {"type":"event","data":{"type":"owl_seen","at":"Brest"}}\n')
    assert once == b'data: {"type":"event","data":{"type":"xxx_xxxx","xx":"xxxxx"}}\n'
    assert mask(once) == once


@pytest.mark.slow
@pytest.mark.parametrize("path", NATIVES, ids=lambda path: path.stem)
def test_cuts_change_nothing(path: Path) -> None:
    native = path.read_bytes()
    for size in (1, 7, 1000):
        masker = Masker(AGENTICK)
        pieces = [masker.feed(native[place : place + size]) for place in range(0, len(native), size)]
        assert b"".join((*pieces, masker.finish())) == mask(native)
        assert masker.buffered == 0


def frame(event: str, **data: object) -> dict[str, object]:
    return {"type": "event", "event": event, "sessionId": "harbor:1", "data": data}


def masked(event: str, **data: object) -> dict[str, object]:
    line = b"data: " + json.dumps(frame(event, **data), ensure_ascii=False).encode() + b"\n\n"
    shown: dict[str, object] = json.loads(mask(line).removeprefix(b"data: "))["data"]
    return shown


@pytest.mark.parametrize(
    ("event", "data", "expected"),
    [
        ("content_delta", {"delta": "Call Bob, 42!"}, {"delta": "xxxx xxx, 11!"}),
        ("tool_call", {"callId": "c1", "name": "add"}, {"callId": "c1", "name": "add"}),
        ("tool_call", {"callId": "Bob is", "name": "is Bob"}, {"callId": "xxx xx", "name": "xx xxx"}),
        ("tool_call", {"input": {"name": "Bob", "n": -2.5}}, {"input": {"xxxx": "xxx", "x": -1.1}}),
        ("tool_call", {"input": {"raw": '{"Bo'}}, {"input": {"raw": '{"xx'}}),
        ("tool_call", {"input": {"a": 1, "b": 2, "cd": 3}}, {"input": {"x": 1, "y": 1, "xx": 1}}),
        ("tool_call", {"id": 7, "name": ["Bob b", "add"]}, {"id": 1, "name": ["xxx x", "add"]}),
        ("execution_start", {"metadata": {"id": "Bob"}}, {"xxxxxxxx": {"xx": "xxx"}}),
        ("result", {"result": {"outputs": {"name": 7}}}, {"result": {"outputs": {"xxxx": 1}}}),
        ("result", {"result": {"usage": {"ticks": 2, "x": 37}}}, {"result": {"usage": {"ticks": 2, "x": 11}}}),
        ("usage", {"usage": {"inputTokens": 37}, "tokens": 37}, {"usage": {"inputTokens": 37}, "xxxxxx": 11}),
        ("tick_end", {"shouldContinue": True, "usage": None}, {"shouldContinue": True, "usage": None}),
        ("message_end", {"stopReason": "max_tokens"}, {"stopReason": "max_tokens"}),
        ("message_end", {"stopReason": "Bob"}, {"stopReason": "xxx"}),
        ("message_start", {"role": "Bob"}, {"role": "xxx"}),
        ("tool_call", {"callId": "c" * MAX_ID}, {"callId": "c" * MAX_ID}),
        ("tool_call", {"callId": "c" * (MAX_ID + 1)}, {"callId": "x" * (MAX_ID + 1)}),
        ("tool_call", {"callId": "confirm_a1"}, {"callId": "xxxxxxx_x1"}),
        (
            "error",
            {"error": {"name": "E", "message": "key=abc"}},
            {"error": {"name": "E", "message": "key=[redacted]"}},
        ),
        ("error", {"error": 'Unknown app "x"'}, {"error": 'Unknown app "x"'}),
        ("error", {"error": {"cause": {"message": "Bob"}}}, {"error": {"xxxxx": {"xxxxxxx": "xxx"}}}),
        ("tool_result", {"result": {"error": "Bob"}}, {"result": {"xxxxx": "xxx"}}),
        ("brand_new", {"name": "Bob", "id": "Bob", "tokens": 9}, {"xxxx": "xxx", "xx": "xxx", "xxxxxx": 1}),
        ("usage", {"usage": {"totalTokens": 1e5}, "at": 1.5e-7}, {"usage": {"totalTokens": 1e5}, "xx": 1.1e-11}),
    ],
    ids=str,
)
def test_only_known_places_of_known_events_stay(
    event: str, data: dict[str, object], expected: dict[str, object]
) -> None:
    assert masked(event, **data) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"event: message\n", b"event: message\n"),
        (b"event: tool_call\n", b"event: tool_call\n"),
        (b"event: Bob\n", b"event: xxx\n"),
        (b"id: 7Bob\n", b"id: 1xxx\n"),
        (b": Bob waits\n", b": xxx xxxxx\n"),
        (b"data: Bob\n", b"data: xxx\n"),
        (b"data: [DONE]\n", b"data: [DONE]\n"),
        (b"Bob\r\n", b"xxx\r\n"),
        (b'data: {"event":"usage","Bo\n', b'data: {"event":"usage","xx\n'),
        (b'data: {"data":{"type":"usage","id":"u1"}}\n', b'data: {"data":{"type":"usage","id":"u1"}}\n'),
        (b'data: {"\xffBob":"\xffBob"}\n', b'data: {"\xffxxx":"\xffxxx"}\n'),
        (rb'data: {"":"B\u0042\n\ud83d"}', rb'data: {"":"x\u0078\n\ud83d"}'),
        (rb'data: {"a":NaN,"b":Infinity}', rb'data: {"x":xxx,"y":xxxxxxxx}'),
        (b"", b""),
    ],
)
def test_lines_of_every_kind(line: bytes, expected: bytes) -> None:
    assert mask(line) == expected


def test_an_outcome_of_the_older_form_stays_readable() -> None:
    line = b'{"type":"RUN_FINISHED","outcome":"cancelled"}'
    assert mask_as(line, DIALECTS["ag-ui"].recorded_fields) == line


def test_the_fields_may_stand_in_any_order() -> None:
    event = frame("tool_call", name="add", input={"a": "Bob"})
    turned = json.dumps(dict(reversed(event.items())))
    assert json.loads(mask(turned.encode())) == {**event, "sessionId": "xxxxxx:1", "data": masked_data(event)}


def masked_data(data: dict[str, object]) -> object:
    return json.loads(mask(json.dumps(data).encode()))["data"]


SECRET = "Bob earns 4711"
NUMBER = 47114711


def planted(rule: Rule) -> Iterator[object]:
    """Values with the secret, for a place with this rule: everything but the values that the rule shows."""
    if rule is not Readable.FAILURE and not (isinstance(rule, Mapping) and rule.get("") is Readable.FAILURE):
        yield SECRET
        yield [SECRET, {SECRET: SECRET}]
    if rule not in (Readable.NUMBER, Readable.TIME):
        yield NUMBER
        yield [NUMBER + 0.5]
    yield {SECRET: {"id": SECRET, "name": SECRET, "role": "4711", "tokens": NUMBER}}
    if not isinstance(rule, Mapping):
        yield {"metadata": {"4711": 1}, "inputTokens": NUMBER, "type": "4711", "sequence": NUMBER}
    else:
        for key, inner in rule.items():
            yield from ({key: value} for value in planted(inner) if key)


EVENTS = [
    (fields, name)
    for fields in [
        *(dialect.recorded_fields for dialect in DIALECTS.values()),
        *(ANSWERS, RESPONSES.recorded_fields, MESSAGES.recorded_fields),
    ]
    for name in [*fields.events, *(["brand_new"] if fields.event_names else [])]
]


@pytest.mark.slow
@pytest.mark.parametrize(("fields", "name"), EVENTS, ids=lambda value: value if isinstance(value, str) else "")
def test_no_secret_stays_in_any_field_of_any_event(fields: RecordedFields, name: str) -> None:
    rules = fields.events.get(name, {"data": None, "delta": None, "name": None})
    for key, rule in [*rules.items(), ("brandNew", None), (SECRET, None)]:
        for value in planted(rule):
            payload = json.dumps(whole_event(fields, name, key, value)).encode()
            masked_frame = mask_as(b"data: " + payload + b"\n\n", fields)
            assert b"4711" not in masked_frame, payload
            assert b"earns" not in masked_frame, payload


def whole_event(fields: RecordedFields, name: str, key: str, value: object) -> dict[str, object]:
    """With its name, wherever that stands, and one field more."""
    named: dict[str, object] = {}
    for path in fields.event_names[:1]:
        named[path[0]] = name
    return {**named, key: value} if key not in named else {key: value}


@pytest.mark.parametrize("size", [1, 3, 50])
def test_masked_keys_of_an_object_stay_different(size: int) -> None:
    keys = {f"{letter}{number}" for letter in "abcdefgh" for number in range(size)}
    masked_object = json.loads(mask(json.dumps({"a": dict.fromkeys(keys)}).encode()))
    (inner,) = masked_object.values()
    assert len(inner) == len(keys)
    assert {len(key) for key in inner} == {len(key) for key in keys}


def test_a_word_of_its_own_makes_no_field_known() -> None:
    """A masked key never becomes the name of a known field."""
    keys = [first + second for first in string.ascii_letters for second in string.ascii_letters]
    data = masked("tool_call", **dict.fromkeys(keys, "Bob"))
    assert "id" in data  # it was among the keys, and is a known one
    assert len(data) == len(keys)
    assert set(data.values()) == {"xxx", "Bob"}


@given(st.text(), st.booleans())
def test_an_escaped_text_is_masked_as_it_is_without_escapes(text: str, escaped: bool) -> None:
    payload = json.dumps([text], ensure_ascii=escaped)
    (masked_text,) = json.loads(mask(payload.encode("utf-8", "surrogatepass")))
    assert masked_text.encode("utf-16", "surrogatepass") == mask_text(text).encode("utf-16", "surrogatepass")


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        b'[{"a":["Bob",',
        b'\\"',
        b'"',
        b'"a" ',
        b"\\",
        b'{"a":"b',
        b'"a":',
        b"1",
        b"1.",
        b"-",
        b" ",
        b"\\u00",
        b"]}",
        b'"","',
    ],
    ids=repr,
)
def test_the_time_grows_with_the_length_alone(piece: bytes) -> None:
    """Ten times as much of any repeated text in a line costs about ten times as much."""

    def seconds(size: int) -> float:
        line = b'data: {"a":' + piece * (size // len(piece))
        start = time.process_time()
        mask(line)
        return time.process_time() - start

    def least(size: int) -> float:
        """The least of some tries: a busy machine makes some of them slower."""
        return min(seconds(size) for _ in range(3))

    assert least(400_000) < 40 * max(least(40_000), 0.002)


@pytest.mark.slow
def test_a_long_sound_text_needs_little_memory() -> None:
    line = b'data: {"event":"content_delta","data":{"delta":"' + rb"Bob says \"hi\". " * 250_000 + b'"}}\n'
    tracemalloc.start()
    mask(line)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * len(line)


def test_a_masked_response_shows_what_happened() -> None:
    item = {"id": "msg_1", "type": "message", "content": [{"type": "output_text", "text": "secret"}]}
    event = {"type": "response.output_item.done", "sequence_number": 3, "output_index": 0, "item": item}
    masked_frame = mask_as(b"data: " + json.dumps(event).encode() + b"\n\n", RESPONSES.recorded_fields)
    assert masked_frame == b"data: " + json.dumps(event).encode().replace(b"secret", b"xxxxxx") + b"\n\n"


def test_the_id_of_an_approval_request_is_masked() -> None:
    event = {"type": "response.output_item.done", "item": {"id": "mcpr_abc", "type": "mcp_approval_request"}}
    assert b"abc" not in mask_as(b"data: " + json.dumps(event).encode() + b"\n\n", RESPONSES.recorded_fields)


@pytest.mark.parametrize(
    ("result", "masked"),
    [
        ("Final result processed.", "Final result processed."),
        ("Final result processed. No.", "xxxxx xxxxxx xxxxxxxxx. xx."),
        ("Returning structured response: bells=6", "Returning structured response: xxxxx=1"),
        ("It is returning a response.", "xx xx xxxxxxxxx x xxxxxxxx."),
    ],
)
def test_the_first_words_of_an_output_are_readable(result: str, masked: str) -> None:
    for event in (
        {"type": "TOOL_CALL_RESULT", "content": result},
        {"type": "MESSAGES_SNAPSHOT", "messages": [{"role": "tool", "content": result}]},
    ):
        line = b"data: " + json.dumps(event).encode() + b"\n\n"
        shown = mask_as(line, DIALECTS["ag-ui"].recorded_fields)
        assert shown == line.replace(result.encode(), masked.encode())
