"""Items become the messages that a chat request with the same conversation has."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.api.openai.media import MediaReader
from oaicompat_proxy.api.openai.responses.request.conversation import build_messages
from oaicompat_proxy.core.confirmation_call import CONFIRM_TOOL
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.message import Message, Text, ToolCall
from oaicompat_proxy.translation.confirmations import find_result
from tests.support.examples import examples
from tests.support.parsing import parse_chat

USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "tide", "arguments": "{}", "status": "completed"}
OTHER_CALL = {"type": "function_call", "call_id": "b", "name": "moon", "arguments": "{}"}
SAID = {"role": "assistant", "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}]}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
AGENT_CALL = {"type": "mcp_call", "id": "mcp_1", "server_label": "owl", "name": "add", "arguments": "{}", "output": "2"}
ASKED = {
    "type": "mcp_approval_request",
    "id": "mcpr_x",
    "server_label": "owl",
    "name": "tide",
    "arguments": '{"port":"Brest"}',
}
APPROVED = {"type": "mcp_approval_response", "approval_request_id": "mcpr_x", "approve": True}


def output(call_id: str, text: str = "4 m") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def messages_of(*items: Any, instructions: str | None = None, earlier: int = 0) -> tuple[Message, ...]:
    return build_messages(items, instructions, MediaReader(1000), earlier=earlier)[0]


def fault_of(*items: Any, earlier: int = 0) -> tuple[int, str | None, str]:
    with pytest.raises(InvalidRequest) as caught:
        messages_of(*items, earlier=earlier)
    return caught.value.status, caught.value.param, caught.value.message


def test_a_text_is_what_the_user_says() -> None:
    assert build_messages("hi", None, MediaReader(0)) == ((Message("user", (Text("hi"),)),), False)


def test_instructions_stand_in_front() -> None:
    first, second = messages_of({"role": "developer", "content": "x"}, instructions="Be brief.")
    assert (first, second.role) == (Message("system", (Text("Be brief."),)), "system")


def test_what_the_assistant_says_and_calls_is_one_message() -> None:
    assert messages_of(USER, REASONING, SAID, AGENT_CALL, CALL, OTHER_CALL, output("b"), output("a")) == (
        Message("user", (Text("hi"),)),
        Message(
            "assistant",
            (Text("Let me see."),),
            None,
            (ToolCall("a", "tide", "{}"), ToolCall("b", "moon", "{}")),
        ),
        Message("tool", (Text("4 m"),), None, (), "b"),
        Message("tool", (Text("4 m"),), None, (), "a"),
    )


def test_calls_with_their_outputs_between_them_are_messages_of_their_own() -> None:
    roles = [message.role for message in messages_of(USER, CALL, output("a"), OTHER_CALL, output("b"))]
    assert roles == ["user", "assistant", "tool", "assistant", "tool"]


def test_a_result_stands_behind_its_call() -> None:
    roles = [message.role for message in messages_of(USER, CALL, USER, output("a"), SAID)]
    assert roles == ["user", "assistant", "tool", "user", "assistant"]


def test_custom_calls_are_made_with_one_argument() -> None:
    """As the agent made them: to the agent a custom tool is a function."""
    call = {"type": "custom_tool_call", "call_id": "a", "name": "poem", "input": "owls"}
    result = {"type": "custom_tool_call_output", "call_id": "a", "output": "An owl"}
    _, answer, result_message = messages_of(USER, call, result)
    assert answer.tool_calls == (ToolCall("a", "poem", '{"input":"owls"}'),)
    assert result_message == Message("tool", (Text("An owl"),), None, (), "a")


@pytest.mark.parametrize("result", [{}, {"output": None}, {"output": ""}, {"output": []}])
def test_results_may_be_empty(result: dict[str, Any]) -> None:
    message = messages_of(USER, CALL, {"type": "function_call_output", "call_id": "a", **result})[-1]
    assert message == Message("tool", (), None, (), "a")


def test_an_approval_is_the_result_of_the_call_that_asks() -> None:
    messages = messages_of(USER, SAID, ASKED, APPROVED)
    assert messages[1].tool_calls == (
        ToolCall("confirm_x", CONFIRM_TOOL, '{"tool": "tide", "arguments": {"port": "Brest"}}'),
    )
    result = find_result(messages, ())
    assert result is not None
    assert (result.tool_call_id, result.blocks) == ("confirm_x", (Text('{"confirmed": true}'),))


def test_an_approval_without_its_request_and_with_a_reason() -> None:
    messages = messages_of(USER, {**APPROVED, "approve": False, "reason": "too wet"})
    result = find_result(messages, ())
    assert result is not None
    assert result.blocks == (Text('{"confirmed": false, "reason": "too wet"}'),)


def test_a_request_without_approval_is_not_shown() -> None:
    assert messages_of(USER, ASKED, USER) == (Message("user", (Text("hi"),)),) * 2


@pytest.mark.parametrize(
    ("items", "status", "param", "word"),
    [
        ([USER, output("a")], 400, "input[1].call_id", "No tool call found"),
        ([output("a"), CALL], 400, "input[0].call_id", "No tool call found"),
        ([USER, CALL, USER], 400, "input[1].call_id", "No tool output found for function call a."),
        ([USER, {"type": "item_reference", "id": "msg_1"}], 404, "input[1].id", "Item with id 'msg_1' not found."),
        ([USER, {**APPROVED, "approval_request_id": "x"}], 400, "input[1].approval_request_id", "no id"),
        ([REASONING], 400, "input", "no message"),
    ],
)
def test_faults_are_named(items: Any, status: int, param: str, word: str) -> None:
    found = fault_of(*items)
    assert found[:2] == (status, param)
    assert word in found[2]


def test_paths_count_the_items_of_the_request() -> None:
    assert messages_of(USER, CALL, output("a"), earlier=2)[-1].role == "tool"
    assert fault_of(USER, CALL, output("b"), earlier=2)[1] == "input[0].call_id"
    assert fault_of(USER, CALL, USER, earlier=2)[1] == "previous_response_id"


@pytest.mark.slow
def test_ten_thousand_items_take_no_more_than_their_number() -> None:
    def took(count: int) -> float:
        calls = [{**CALL, "call_id": str(number)} for number in range(count)]
        items = [USER, *calls, USER, *(output(str(number)) for number in reversed(range(count)))]
        start = time.process_time()
        assert len(messages_of(*items)) == count + 3
        return time.process_time() - start

    few, many = min(took(500) for _ in range(3)), min(took(5000) for _ in range(3))
    assert many < few * 30


# The same conversation by both APIs

TEXTS = st.sampled_from(["", "hi", "\n", "🌊"])
CALLS = st.lists(st.tuples(st.sampled_from(["tide", "moon"]), TEXTS, TEXTS), max_size=3)
TURNS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["user", "system", "developer"]), TEXTS),
        st.tuples(st.just("assistant"), TEXTS, CALLS, st.booleans()),
    ),
    max_size=6,
)


def as_chat(turns: list[Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for number, (role, text, *rest) in enumerate(turns):
        if role != "assistant":
            messages.append({"role": role, "content": text})
            continue
        calls = [
            {"id": f"c{number}.{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for at, (name, arguments, _) in enumerate(rest[0])
        ]
        messages.append({"role": role, "content": text, **({"tool_calls": calls} if calls else {})})
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": result}
            for call, (_, _, result) in zip(calls, rest[0], strict=True)
        ]
    return messages


def as_items(turns: list[Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for number, (role, text, *rest) in enumerate(turns):
        if role != "assistant":
            items.append({"role": role, "content": text})
            continue
        calls, echoes = rest
        if echoes:
            items += [REASONING, AGENT_CALL]
        part = [{"type": "output_text", "text": text, "annotations": []}] if text else []
        items.append({"role": role, "content": part if echoes else text})
        items += [
            {"type": "function_call", "call_id": f"c{number}.{at}", "name": name, "arguments": arguments}
            for at, (name, arguments, _) in enumerate(calls)
        ]
        items += [output(f"c{number}.{at}", result) for at, (_, _, result) in enumerate(calls)]
    return items


@examples(200)
@given(TURNS)
def test_the_same_conversation_makes_the_same_messages(turns: list[Any]) -> None:
    """An answer is one message: two in a row without a call between them would be one answer here."""
    conversation = [("user", "?")]
    for turn in turns:
        conversation += [("user", "?"), turn] if turn[0] == "assistant" else [turn]
    body = json.dumps({"messages": as_chat(conversation)}).encode()
    expected = parse_chat(body, max_media=0, max_messages=100).messages
    assert messages_of(*as_items(conversation)) == expected


def test_a_call_and_an_output_that_stand_there_twice_are_one() -> None:
    """As a client sends them that repeats what `previous_response_id` holds."""
    once = messages_of(USER, CALL, output("a"))
    assert messages_of(USER, CALL, CALL, output("a"), output("a")) == once
    assert messages_of(USER, CALL, REASONING, {**CALL, "id": "fc_2"}, output("a"), earlier=2) == once


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ((USER, CALL, {**CALL, "arguments": '{"x":1}'}, output("a")), "input[2].call_id"),
        ((USER, CALL, output("a"), output("a", "5 m")), "input[3].call_id"),
    ],
)
def test_two_that_say_different_things_are_refused(items: tuple[Any, ...], param: str) -> None:
    status, found, message = fault_of(*items)
    assert (status, found) == (400, param)
    assert message.startswith("Duplicate item found with call_id a.")


def test_an_id_may_be_used_again_in_a_later_turn() -> None:
    turn = (USER, CALL, output("a"))
    later = (USER, {**CALL, "arguments": '{"x":1}'}, output("a", "5 m"))
    assert messages_of(*turn, *later) == messages_of(*turn) + messages_of(*later)
