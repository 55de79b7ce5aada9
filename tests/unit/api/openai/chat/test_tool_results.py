import pytest

from oaicompat_proxy.api.openai.chat.tool_results import MAX_LISTED, check_pairing
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.message import Message, ToolCall

USER = Message("user", ())
SYSTEM = Message("system", ())
PLAIN = Message("assistant", ())
LEGACY_CALL = Message("assistant", (), tool_calls=(ToolCall("", "f", "{}"),))
LEGACY_RESULT = Message("tool", (), name="f")
NO_CALL = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
NO_RESPONSE = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. The following tool_call_ids did not have response messages: "
)


def calls(*ids: str) -> Message:
    return Message("assistant", (), tool_calls=tuple(ToolCall(call_id, "f", "{}") for call_id in ids))


def result(call_id: str) -> Message:
    return Message("tool", (), tool_call_id=call_id)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [USER],
        [SYSTEM, USER, PLAIN, USER],
        [USER, calls("a"), result("a")],
        [USER, calls("a", "b"), result("b"), result("a"), USER],
        [USER, calls("a"), result("a"), result("a")],
        [USER, calls("a"), result("a"), calls("b"), result("b"), PLAIN],
        [USER, calls("a"), result("a"), calls("a"), result("a")],
        [USER, LEGACY_CALL],
        [USER, LEGACY_CALL, USER],
        [USER, LEGACY_CALL, LEGACY_RESULT, USER],
        [LEGACY_RESULT, USER],
        [USER, calls("a"), LEGACY_RESULT, result("a")],
        [USER, calls(""), result("")],
    ],
)
def test_paired_conversations_pass(messages):
    check_pairing(messages)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([result("a")], "messages.[0].role"),
        ([SYSTEM, USER, PLAIN, result("a")], "messages.[3].role"),
        ([USER, calls("a"), result("a"), USER, result("a")], "messages.[4].role"),
    ],
)
def test_a_result_without_any_call_is_refused(messages, param):
    with pytest.raises(InvalidRequest) as caught:
        check_pairing(messages)
    assert (caught.value.param, caught.value.code) == (param, None)
    assert caught.value.message == f"Invalid parameter: {NO_CALL}"


def test_a_result_for_another_call_is_refused():
    with pytest.raises(InvalidRequest) as caught:
        check_pairing([USER, calls("a"), result("x")])
    assert caught.value.param == "messages.[2].tool_call_id"
    assert caught.value.message == (
        "Invalid parameter: 'tool_call_id' of 'x' not found in 'tool_calls' of previous message."
    )


@pytest.mark.parametrize(
    ("messages", "param", "ids"),
    [
        ([USER, calls("a")], "messages.[1].role", "a"),
        ([USER, calls("a"), USER, USER], "messages.[2].role", "a"),
        ([USER, calls("a", "b", "c"), result("b"), USER], "messages.[3].role", "a, c"),
        ([USER, calls("a", "b"), result("b")], "messages.[2].role", "a"),
        ([USER, calls("a"), calls("b"), result("b")], "messages.[2].role", "a"),
        ([USER, calls("a"), LEGACY_RESULT, USER], "messages.[3].role", "a"),
    ],
)
def test_a_call_without_result_is_refused_with_its_ids(messages, param, ids):
    with pytest.raises(InvalidRequest) as caught:
        check_pairing(messages)
    assert (caught.value.param, caught.value.code) == (param, None)
    assert caught.value.message == NO_RESPONSE + ids


def test_many_or_long_ids_are_not_listed_whole():
    with pytest.raises(InvalidRequest) as caught:
        check_pairing([calls("x" * 1000, *(str(number) for number in range(MAX_LISTED + 4)))])
    assert caught.value.message.endswith(", 14 and 5 more")
    assert len(caught.value.message) < 400
