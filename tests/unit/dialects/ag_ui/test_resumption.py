"""The answer to an interrupt: made to its response schema, and never an argument of a tool."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ag_ui.core import ResumeEntry
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import AgentError, InvalidRequest
from oaicompat_proxy.core.message import ToolCall
from oaicompat_proxy.core.turn import ConfirmationReply
from oaicompat_proxy.dialects.ag_ui.pending_interrupts import (
    COMMAND,
    TOOL_MESSAGE,
    PendingInterrupt,
    encode_interrupts,
    fingerprint,
)
from oaicompat_proxy.dialects.ag_ui.response_schema import allows
from oaicompat_proxy.dialects.ag_ui.resumption import build_resumption, with_original_calls

APPROVED = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
AGENT_FRAMEWORK = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "accepted": {"type": "boolean"},
        "ship": {"type": "string"},
        "reason": {"type": "string"},
        "editedArgs": {
            "type": "object",
            "properties": {"ship": {"type": "string"}, "reason": {"type": "string"}},
            "required": ["ship", "reason"],
            "additionalProperties": False,
        },
    },
    "anyOf": [{"required": ["approved"]}, {"required": ["accepted"]}],
    "additionalProperties": False,
}
PORT = {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]}
FEEDBACK = {"type": "string", "enum": ["approved", "rejected", "needs work"]}


def payload(interrupt: PendingInterrupt, *, confirmed: bool = False, reason: str = "", text: str = "") -> Any:
    """The payload of the only entry, which the protocol's own type accepts."""
    (entry,) = build_resumption(ConfirmationReply(encode_interrupts([interrupt]), confirmed, reason, text)).resume
    ResumeEntry.model_validate(entry)
    assert (entry["interruptId"], entry["status"]) == (interrupt.interrupt_id, "resolved")
    return entry["payload"]


def tool(schema: Any, reason_key: str = "") -> PendingInterrupt:
    return PendingInterrupt("i1", "c1", "launch", schema=schema, reason_key=reason_key)


@pytest.mark.parametrize("schema", [None, APPROVED, AGENT_FRAMEWORK, {"type": "object"}])
@pytest.mark.parametrize("confirmed", [True, False])
def test_a_human_without_a_key_for_reasons_says_yes_or_no(schema: Any, confirmed: bool) -> None:
    answer = payload(tool(schema), confirmed=confirmed, reason="Too windy.", text="Too windy.")
    assert answer == {"approved": confirmed}


def test_a_reason_goes_where_the_schema_has_a_key_for_it() -> None:
    schema = {"properties": {"approved": {"type": "boolean"}, "comment": {"type": "string"}}}
    assert payload(tool(schema, "comment"), reason="Windy.", text="Windy.") == {"approved": False, "comment": "Windy."}
    assert payload(tool(None, "reason"), reason="Windy.", text="Windy.") == {"approved": False, "reason": "Windy."}


@pytest.mark.parametrize(
    "answer",
    [
        {"confirmed": True, "reason": "Fine."},
        {"confirmed": True, "ship": "Kon-Tiki"},
        {"confirmed": True, "anything": 1},
        {"approved": True},
    ],
)
def test_nothing_that_was_said_becomes_an_argument(answer: dict[str, Any]) -> None:
    confirmed = answer.get("confirmed") is True
    resumption = payload(
        tool(AGENT_FRAMEWORK), confirmed=confirmed, reason=answer.get("reason", ""), text=json.dumps(answer)
    )
    assert resumption == {"approved": True}


def test_arguments_are_edited_as_a_whole_by_the_schema() -> None:
    edited = {"ship": "Kon-Tiki", "reason": "race"}
    answer = json.dumps({"confirmed": True, "editedArgs": edited})
    resumption = payload(tool(AGENT_FRAMEWORK), confirmed=True, text=answer)
    assert resumption == {"approved": True, "editedArgs": edited}
    for schema, wrong in ((AGENT_FRAMEWORK, {"ship": "Kon-Tiki"}), (APPROVED, edited), (AGENT_FRAMEWORK, "Kon-Tiki")):
        with pytest.raises(InvalidRequest) as refusal:
            payload(tool(schema), confirmed=True, text=json.dumps({"confirmed": True, "editedArgs": wrong}))
        assert refusal.value.param == "messages"
    assert payload(tool(AGENT_FRAMEWORK), text=json.dumps({"confirmed": False, "editedArgs": 7})) == {"approved": False}


@pytest.mark.parametrize(
    ("schema", "confirmed", "text", "expected"),
    [
        (None, False, "Brest", "Brest"),
        (None, False, '{"port": "Brest"}', {"port": "Brest"}),
        (None, False, "42", 42),
        (None, False, "[" * 100_000, "[" * 100_000),
        (None, False, "[" * 400 + "]" * 400, "[" * 400 + "]" * 400),
        (None, False, '{"a":' * 101 + "1" + "}" * 101, '{"a":' * 101 + "1" + "}" * 101),
        (None, True, "", {"approved": True}),
        ({"type": "boolean"}, True, "yes", True),
        ({"type": "boolean"}, False, "no", False),
        ({"type": "boolean"}, False, "false", False),
        ({"type": "string"}, False, "Brest", "Brest"),
        ({"type": "string"}, False, "42", "42"),
        ({"type": "integer"}, False, "42", 42),
        (FEEDBACK, True, "yes", "approved"),
        (FEEDBACK, False, "Needs work.", "needs work"),
        (FEEDBACK, False, "needs work", "needs work"),
        (FEEDBACK, False, "no", "rejected"),
        (FEEDBACK, True, "", "approved"),
        (PORT, False, "Brest", {"port": "Brest"}),
        (PORT, False, '{"port": "Brest", "ship": "x"}', {"port": "Brest"}),
        (APPROVED, True, "yes", {"approved": True}),
        ({"type": "array"}, False, "[1]", [1]),
        (
            {"properties": {"approved": {"type": "boolean"}, "note": {"type": "string"}}},
            True,
            '{"confirmed": true, "note": "Mind the tide.", "x": 1}',
            {"approved": True, "note": "Mind the tide."},
        ),
    ],
)
def test_a_question_of_no_tool_gets_what_its_schema_allows(
    schema: Any, confirmed: bool, text: str, expected: Any
) -> None:
    assert payload(PendingInterrupt("i1", schema=schema), confirmed=confirmed, text=text) == expected


@pytest.mark.parametrize(
    ("schema", "text"),
    [(PORT, '{"ship": "x"}'), (PORT, '{"port": 7}'), ({"type": "integer"}, "many"), ({"type": "array"}, "Brest")],
)
def test_what_no_answer_can_be_made_of_is_refused_with_the_schema(schema: Any, text: str) -> None:
    with pytest.raises(InvalidRequest, match="JSON schema") as refusal:
        payload(PendingInterrupt("i1", schema=schema), text=text)
    assert refusal.value.param == "messages"


def test_a_yes_that_is_no_answer_is_the_agents_fault_if_nobody_was_asked() -> None:
    with pytest.raises(AgentError, match="more than a yes"):
        payload(PendingInterrupt("i1", schema=PORT), confirmed=True)


SCHEMAS = st.sampled_from([None, APPROVED, AGENT_FRAMEWORK, PORT, FEEDBACK, {"type": "boolean"}, {"type": "object"}])


@given(SCHEMAS, st.booleans(), st.text(), st.booleans())
def test_an_answer_that_is_sent_is_one_that_the_schema_allows(
    schema: Any, confirmed: bool, text: str, is_tool: bool
) -> None:
    interrupt = tool(schema) if is_tool else PendingInterrupt("i1", schema=schema)
    try:
        resumption = payload(interrupt, confirmed=confirmed, reason=text, text=text)
    except (InvalidRequest, AgentError):
        return
    assert schema is None or allows(schema, resumption)


TOOLS = st.builds(lambda *words: PendingInterrupt(*words), st.text(), st.text(min_size=1), st.text())


@given(st.lists(TOOLS, min_size=1), st.booleans())
def test_everything_that_waits_is_answered_together(interrupts: list[PendingInterrupt], confirmed: bool) -> None:
    entries = build_resumption(ConfirmationReply(encode_interrupts(interrupts), confirmed)).resume
    assert [(each["interruptId"], each["payload"]) for each in entries] == [
        (each.interrupt_id, {"approved": confirmed}) for each in interrupts
    ]


def test_each_that_waits_may_get_its_own_answer() -> None:
    port = PendingInterrupt("i3", schema=PORT)
    waiting = encode_interrupts([tool(None, "reason"), tool(APPROVED), port, PendingInterrupt("i4")])
    replies = [{"confirmed": False, "reason": "Windy."}, "Yes!", {"port": "Brest"}, True]
    entries = build_resumption(ConfirmationReply(waiting, False, "", json.dumps(replies))).resume
    assert [each["payload"] for each in entries] == [
        *({"approved": False, "reason": "Windy."}, {"approved": True}, {"port": "Brest"}, True)
    ]


def test_a_list_of_another_length_is_one_answer_to_all() -> None:
    waiting = encode_interrupts([PendingInterrupt("i1"), PendingInterrupt("i2")])
    assert [each["payload"] for each in build_resumption(ConfirmationReply(waiting, False, "", "[1]")).resume] == [
        [1],
        [1],
    ]


def test_langgraph_takes_one_answer_as_it_is_and_several_by_their_ids() -> None:
    one, two = (PendingInterrupt(each, channel=COMMAND) for each in ("i1", "i2"))
    assert build_resumption(ConfirmationReply(encode_interrupts([one]), False, "", "Brest")) == (
        [],
        {"command": {"resume": "Brest"}},
        {},
    )
    metadata = build_resumption(ConfirmationReply(encode_interrupts([one, two]), False, "", "Brest"))
    assert metadata == ([], {"command": {"resume": {"i1": "Brest", "i2": "Brest"}}}, {})


@pytest.mark.parametrize(
    ("confirmed", "decision"), [(True, {"type": "approve"}), (False, {"type": "reject", "message": "Windy."})]
)
def test_langchains_middleware_gets_its_decisions(confirmed: bool, decision: Any) -> None:
    waiting = PendingInterrupt("i1", name="launch, anchor", channel=COMMAND, decisions=2)
    metadata = build_resumption(ConfirmationReply(encode_interrupts([waiting]), confirmed, "Windy.", "Windy."))
    assert metadata.props == {"command": {"resume": {"decisions": [decision, decision]}}}


def test_a_call_that_waits_gets_a_result_and_a_command() -> None:
    waiting = PendingInterrupt("r1::c1", "c1", "launch", TOOL_MESSAGE, reason_key="reason")
    metadata = build_resumption(ConfirmationReply(encode_interrupts([waiting]), True))
    event = {"toolCallId": "c1", "runId": "r1"}
    assert metadata.props == {"command": {"resume": {"approved": True}, "interruptEvent": event}}
    assert metadata.resume == []
    assert json.loads(metadata.results["c1"]) == {"approved": True, "accepted": True}
    metadata = build_resumption(ConfirmationReply(encode_interrupts([waiting]), False, "Windy.", "Windy."))
    assert json.loads(metadata.results["c1"]) == {
        "approved": False,
        "reason": "Windy.",
        "accepted": False,
        "note": "Windy.",
    }


def waiting(call_id: str, name: str, arguments: str) -> PendingInterrupt:
    return PendingInterrupt(f"i-{call_id}", call_id, name, fingerprint=fingerprint(arguments))


LAUNCH, ANCHOR, QUESTION = waiting("c1", "launch", '{"a":1}'), waiting("c2", "anchor", "{}"), PendingInterrupt("i3")


@pytest.mark.parametrize(
    ("interrupts", "arguments", "calls"),
    [
        ([LAUNCH], '{"a":1}', [ToolCall("c1", "launch", '{"a":1}')]),
        ([LAUNCH], '{ "a": 1.0 }', [ToolCall("c1", "launch", '{ "a": 1.0 }')]),
        ([LAUNCH, ANCHOR], '[{"a":1},{}]', [ToolCall("c1", "launch", '{"a": 1}'), ToolCall("c2", "anchor", "{}")]),
        (
            [LAUNCH, QUESTION, ANCHOR],
            '[{"a":1},2,{}]',
            [ToolCall("c1", "launch", '{"a": 1}'), ToolCall("c2", "anchor", "{}")],
        ),
        ([QUESTION], "{}", []),
        ([QUESTION], "changed", []),
    ],
)
def test_the_agents_own_calls_stand_behind_the_question(
    interrupts: list[PendingInterrupt], arguments: str, calls: list[ToolCall]
) -> None:
    assert with_original_calls(ToolCall(encode_interrupts(interrupts), "confirm", arguments)) == calls


@pytest.mark.parametrize(
    ("interrupts", "arguments"),
    [([LAUNCH], '{"a":2}'), ([LAUNCH], ""), ([LAUNCH, ANCHOR], '[{"a":1}]'), ([LAUNCH, ANCHOR], '[{},{"a":1}]')],
)
def test_arguments_that_the_client_has_changed_are_refused(interrupts: list[PendingInterrupt], arguments: str) -> None:
    with pytest.raises(InvalidRequest, match="changed"):
        with_original_calls(ToolCall(encode_interrupts(interrupts), "confirm", arguments))
