"""Interrupts of a run, read from their three forms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.core.events import ConfirmationRequired
from oaicompat_proxy.dialects.ag_ui.interrupts import (
    MAX_ENCODED,
    MAX_INTERRUPTS,
    MAX_SCHEMA,
    NO_QUESTION,
    read_confirmation_calls,
    read_interrupt_events,
    read_open_calls,
    read_outcome,
)
from oaicompat_proxy.dialects.ag_ui.pending_interrupts import (
    COMMAND,
    RESUME,
    TOOL_MESSAGE,
    PendingInterrupt,
    decode_interrupts,
    fingerprint,
)
from oaicompat_proxy.dialects.ag_ui.tool_calls import ToolCalls
from tests.support.conformance import check_body
from tests.support.pipeline import Options, collected, read_events, translate

APPROVAL = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}


def called(**arguments: str) -> ToolCalls:
    """Calls of tools that have the names of their ids, without the last letter."""
    calls = ToolCalls(include_tool_activity=False)
    for call_id, text in arguments.items():
        calls.start(call_id, call_id[:-1])
        calls.add(call_id, text)
        calls.end(call_id)
    return calls


LAUNCH = called(launch1='{"ship":"Pen Duick"}')


def outcome(*interrupts: Any, calls: ToolCalls = LAUNCH) -> ConfirmationRequired:
    asked = read_outcome({"type": "interrupt", "interrupts": list(interrupts)}, calls.open)
    assert asked is not None
    return asked


def custom(value: Any, calls: ToolCalls = LAUNCH, **fields: Any) -> ConfirmationRequired:
    asked = read_interrupt_events([{"type": "CUSTOM", "name": "on_interrupt", "value": value, **fields}], calls.open)
    assert asked is not None
    return asked


@pytest.mark.parametrize(
    ("interrupts", "needs"),
    [
        ([{"id": "i1", "toolCallId": "launch1"}], False),
        ([{"id": "i1", "toolCallId": "launch1", "responseSchema": APPROVAL}], False),
        ([{"id": "i1", "toolCallId": "launch1", "responseSchema": {"type": "string"}}], True),
        ([{"id": "i1", "message": "Which port?"}], True),
        ([{"id": "i1", "reason": "confirmation", "message": "Go on?"}], True),
        ([{"id": "i1", "toolCallId": "launch1"}, {"id": "i2", "message": "Which port?"}], True),
    ],
)
def test_only_a_yes_or_no_to_named_tools_needs_no_words(interrupts: list[Any], needs: bool) -> None:
    assert outcome(*interrupts).needs_words is needs


def only(asked: ConfirmationRequired) -> PendingInterrupt:
    (interrupt,) = decode_interrupts(asked.call_id)
    return interrupt


def test_the_call_that_an_interrupt_names_is_what_is_asked_for() -> None:
    asked = outcome({"id": "i1", "toolCallId": "launch1", "message": "Launch?", "responseSchema": APPROVAL})
    assert asked[1:4] == ("launch", '{"ship":"Pen Duick"}', "Launch?")
    assert only(asked) == PendingInterrupt(
        "i1", "launch1", "launch", RESUME, APPROVAL, "", 0, fingerprint('{"ship":"Pen Duick"}')
    )


def test_a_call_missing_in_the_stream_is_asked_for_by_its_metadata() -> None:
    metadata = {"toolName": "launch", "args": {"x": 1}, "suspendPayload": {"q": "Go?"}}
    asked = outcome({"id": "r1::c9", "toolCallId": "c9", "metadata": {"mastra": metadata}})
    assert asked[1:4] == ("launch", '{"x":1}', "Go?")
    assert only(asked)[:3] == ("r1::c9", "", "launch")


@pytest.mark.parametrize(
    ("interrupt", "question"),
    [
        ({"message": "Which port?", "reason": "input_required"}, "Which port?"),
        ({"metadata": {"langgraph": {"raw": "Which port?"}}, "reason": "langgraph:interrupt"}, "Which port?"),
        ({"reason": "crewai:human_feedback"}, "crewai:human_feedback"),
        ({}, NO_QUESTION),
    ],
)
def test_no_question_is_blank(interrupt: dict[str, Any], question: str) -> None:
    assert outcome({"id": "i1", **interrupt}).message == question


def test_a_question_for_more_than_yes_or_no_has_its_schema() -> None:
    schema = {"type": "object", "properties": {"port": {"type": "string"}}}
    assert outcome({"id": "i1", "message": "Where?", "responseSchema": schema}).message == (
        'Where?\nJSON schema of the answer: {"type": "object", "properties": {"port": {"type": "string"}}}'
    )
    assert outcome({"id": "i1", "message": "Go?", "responseSchema": APPROVAL}).message == "Go?"


@pytest.mark.parametrize(
    ("schema", "arguments", "key"),
    [
        (None, '{"ship":"x"}', "reason"),
        (None, '{"reason":"x"}', ""),
        ({"type": "object"}, "{}", "reason"),
        (APPROVAL, "{}", ""),
        ({"properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}}}, "{}", "reason"),
        ({"properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}}}, '{"reason":"x"}', ""),
        ({"properties": {"approved": {"type": "boolean"}, "reason": {"type": "integer"}}}, "{}", ""),
        ({"properties": {"approved": {"type": "boolean"}, "comment": {"type": "string"}}}, "{}", "comment"),
        (
            {"properties": {"reason": {"type": "string"}, "editedArgs": {"properties": {"reason": {}}}}},
            "{}",
            "",
        ),
    ],
)
def test_a_reason_has_a_key_only_where_it_is_no_argument_of_the_tool(schema: Any, arguments: str, key: str) -> None:
    calls = called(launch1=arguments)
    interrupt = only(outcome({"id": "i1", "toolCallId": "launch1", "responseSchema": schema}, calls=calls))
    assert interrupt.reason_key == key


def test_a_confirmation_of_no_tool_is_a_boolean_by_default() -> None:
    assert only(outcome({"id": "i1", "reason": "confirmation"})).schema == {"type": "boolean"}
    assert only(outcome({"id": "i1", "reason": "confirmation", "responseSchema": APPROVAL})).schema == APPROVAL
    assert only(outcome({"id": "i1", "reason": "confirmation", "toolCallId": "launch1"})).schema is None


def test_several_interrupts_are_one_question() -> None:
    calls = called(launch1='{"ship":"Pen Duick"}', anchor2="")
    first = {"id": "i1", "toolCallId": "launch1", "message": "Launch?"}
    asked = outcome(first, {"id": "i2", "toolCallId": "anchor2"}, {"id": "i3", "message": "Sure?"}, calls=calls)
    assert asked[1:4] == ("launch, anchor", '[{"ship":"Pen Duick"},{},{}]', "Launch?\nAllow anchor?\nSure?")
    assert [each[:3] for each in decode_interrupts(asked.call_id)] == [
        ("i1", "launch1", "launch"),
        ("i2", "anchor2", "anchor"),
        ("i3", "", ""),
    ]


def test_an_interrupt_that_is_sent_twice_is_asked_for_once() -> None:
    same, unnamed = {"id": "i1", "message": "Launch?"}, {"value": "Which port?"}
    asked = read_outcome({"type": "interrupt", "interrupts": [same, same]}, {})
    assert asked is not None
    assert (asked.arguments, len(decode_interrupts(asked.call_id))) == ("{}", 1)
    events = [{"value": "Launch?", "rawEvent": {"value": "Launch?", "id": "i1"}}] * 2 + [unnamed, unnamed]
    asked = read_interrupt_events(events, {})
    assert asked is not None
    assert len(decode_interrupts(asked.call_id)) == 3


def test_several_of_langgraphs_are_answered_by_its_own_command() -> None:
    raw = {"metadata": {"langgraph": {"raw": "?"}}}
    channels = [each.channel for each in decode_interrupts(outcome({"id": "i1", **raw}, {"id": "i2", **raw}).call_id)]
    assert channels == [COMMAND, COMMAND]
    assert only(outcome({"id": "i1", **raw})).channel == RESUME


@pytest.mark.parametrize(
    ("value", "raw", "interrupt"),
    [
        ("Go?", {"value": "Go?", "id": "0a3f"}, PendingInterrupt("0a3f", channel=COMMAND, reason_key="reason")),
        ("Go?", None, PendingInterrupt("", channel=COMMAND, reason_key="reason")),
        (
            {"id": "f1", "reason": "crewai:human_feedback", "message": "Go?"},
            None,
            PendingInterrupt("f1", channel=RESUME, reason_key="reason"),
        ),
        (
            '{"id":"f1","reason":"x","message":"Go?","responseSchema":{"type":"string","enum":["a"]}}',
            None,
            PendingInterrupt("f1", channel=RESUME, schema={"type": "string", "enum": ["a"]}, reason_key="reason"),
        ),
        (
            '{"type":"mastra_suspend","toolCallId":"c9","runId":"r7","suspendPayload":"Go?"}',
            None,
            PendingInterrupt("r7::c9", channel=RESUME, reason_key="reason"),
        ),
    ],
)
def test_a_custom_event_says_who_is_to_be_answered_and_how(value: Any, raw: Any, interrupt: PendingInterrupt) -> None:
    asked = custom(value, rawEvent=raw)
    assert only(asked) == interrupt
    assert asked.message.startswith("Go?")


def test_langchains_middleware_wants_a_decision_for_each_of_its_actions() -> None:
    value = {"action_requests": [{"name": "launch", "args": {"x": 1}}, {"name": "anchor", "args": {}}]}
    asked = custom(json.dumps(value), rawEvent={"value": value, "id": "0a3f"})
    assert asked[1:4] == ("launch, anchor", '[{"x":1},{}]', "Allow launch, anchor?")
    assert only(asked).decisions == 2
    assert only(outcome({"id": "i1", "metadata": {"langgraph": {"raw": value}}})).decisions == 2


def test_a_call_without_a_result_may_wait_for_a_human() -> None:
    asked = read_open_calls(LAUNCH.open, "r1")
    assert asked is not None
    assert asked[1:4] == ("launch", '{"ship":"Pen Duick"}', "Allow launch?")
    assert only(asked)[:4] == ("r1::launch1", "launch1", "launch", TOOL_MESSAGE)


def test_adks_confirmation_is_about_the_call_in_its_arguments() -> None:
    waiting = {
        "originalFunctionCall": {"id": "c1", "name": "launch", "args": {"x": 1}},
        "toolConfirmation": {"hint": ""},
    }
    calls = called(launch1='{"x":1}')
    calls.start("adk-1", "adk_request_confirmation")
    calls.add("adk-1", json.dumps(waiting))
    asked = read_confirmation_calls(calls.open)
    assert asked is not None
    assert asked[1:4] == ("launch", '{"x":1}', "Allow launch?")
    assert only(asked)[:4] == ("adk-1", "", "launch", RESUME)
    assert read_confirmation_calls(LAUNCH.open) is None


def test_where_nothing_waits_nothing_is_asked() -> None:
    settled = called(launch1="{}")
    settled.mark_others_as_handled([])
    assert read_open_calls(settled.open, "r1") is None
    assert read_open_calls({}, "r1") is None


@pytest.mark.parametrize("count", [MAX_INTERRUPTS, MAX_INTERRUPTS + 1, 1000])
def test_any_number_of_calls_of_the_clients_tools_is_an_answer(count: int) -> None:
    frames = [{"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"}]
    for number in range(count):
        frames.append({"type": "TOOL_CALL_START", "toolCallId": f"c{number}", "toolCallName": "tide"})
        frames.append({"type": "TOOL_CALL_END", "toolCallId": f"c{number}"})
    frames.append({"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1"})
    wire = b"".join(b"data: %b\n\n" % json.dumps(frame).encode() for frame in frames)
    options = Options(tool_names=frozenset({"tide"}), dialect="ag-ui")
    answer = translate(read_events([wire], dialect="ag-ui"), options)
    assert answer.failure is None
    assert len(check_body(collected(answer, options)).tool_calls) == count


def test_open_calls_that_are_too_many_or_too_long_ask_nothing() -> None:
    many = called(**{f"launch{number:03}": "{}" for number in range(MAX_INTERRUPTS + 1)})
    assert read_open_calls(many.open, "r1") is None
    assert read_open_calls(called(**{"x" * MAX_ENCODED: "{}"}).open, "r1") is None


def test_more_than_can_be_carried_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="more at once"):
        outcome(*({"id": str(number)} for number in range(MAX_INTERRUPTS + 1)))
    with pytest.raises(UpstreamError, match="more at once"):
        outcome({"id": "x" * MAX_ENCODED})


def test_of_a_long_schema_the_types_are_kept() -> None:
    properties = {f"key{number}": {"type": "string", "enum": ["x" * 40]} for number in range(60)}
    interrupt = only(outcome({"id": "i1", "responseSchema": {"type": "object", "properties": properties}}))
    assert len(json.dumps(interrupt.schema)) < MAX_SCHEMA
    assert interrupt.schema["properties"]["key59"] == {"type": "string"}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_any_value_in_any_field_is_a_question_or_an_error(value: Any) -> None:
    keys = ("id", "message", "reason", "toolCallId", "responseSchema", "metadata")
    for key in keys:
        assert outcome({"id": "i1", key: value}).message
    assert custom(value).message
    assert custom("?", rawEvent=value).message


@pytest.mark.parametrize("depth", [50, 480, 900, 950, 980, 990, 1000, 1010, 5000])
@pytest.mark.parametrize("field", ["metadata", "responseSchema", "value", "arguments"])
def test_json_of_any_depth_is_a_question_or_an_error(field: str, depth: int) -> None:
    deep = '{"enum":' + "[" * depth + "]" * depth + "}"
    arguments = json.dumps(deep if field == "arguments" else "{}")
    customs = [f'{{"type":"CUSTOM","name":"on_interrupt","value":{deep}}}'] if field == "value" else []
    interrupt = '{"id":"i1","reason":"x","toolCallId":"c1"' + (f',"{field}":{deep}' if field[0] in "mr" else "") + "}"
    outcome = "null" if customs else f'{{"type":"interrupt","interrupts":[{interrupt}]}}'
    events = [
        '{"type":"RUN_STARTED","threadId":"t1","runId":"r1"}',
        '{"type":"TOOL_CALL_START","toolCallId":"c1","toolCallName":"launch"}',
        f'{{"type":"TOOL_CALL_ARGS","toolCallId":"c1","delta":{arguments}}}',
        '{"type":"TOOL_CALL_END","toolCallId":"c1"}',
        *customs,
        f'{{"type":"RUN_FINISHED","threadId":"t1","runId":"r1","outcome":{outcome}}}',
    ]
    wire = "".join(f"data: {event}\n\n" for event in events)
    options = Options(confirmations="ask", dialect="ag-ui")
    answer = translate(read_events([wire.encode()], dialect="ag-ui"), options)
    assert b"confirm_tool_call" in collected(answer, options) or answer.failure is not None
