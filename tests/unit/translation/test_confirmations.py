"""The question to the client and its answer: signed, expiring, and a yes only if the client answered yes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.events import ConfirmationRequired
from oaicompat_proxy.core.message import Media, Message, Text, ToolCall
from oaicompat_proxy.core.signing import Secrets, SigningKeys
from oaicompat_proxy.core.turn import ConfirmationReply
from oaicompat_proxy.translation.confirmations import (
    CONFIRM_TOOL,
    Confirmation,
    Question,
    decode_question,
    encode_question,
    find_result,
    is_signed,
    question_arguments,
    read_result,
    restore,
    sign,
)

SCOPE, MODEL = "ada", "owl"
KEYS = SigningKeys(Secrets([b"secret"]))
QUESTION = Question("demo:oc-1", "call_1", 1060, lasting=False)
TOKEN = sign(QUESTION, KEYS, SCOPE, MODEL)


def answered(text: str, token: str | None = TOKEN) -> Message:
    return Message("tool", (Text(text),), tool_call_id=token)


def asking(*calls: ToolCall) -> Message:
    return Message("assistant", (), tool_calls=calls or (ToolCall(TOKEN, CONFIRM_TOOL, "{}"),))


def read(text: str) -> Confirmation:
    return read_result(answered(text), QUESTION)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [('{"x":1}', {"x": 1}), ("", ""), ("{", "{"), ("null", None), ('{"caf\u00e9":"\u6e2f"}', {"caf\u00e9": "\u6e2f"})],
)
def test_the_question_shows_what_the_agent_wants(arguments: str, shown: Any) -> None:
    arguments_shown = question_arguments(ConfirmationRequired("c1", "danger", arguments, "Allow?"))
    assert json.loads(arguments_shown) == {"message": "Allow?", "tool": "danger", "arguments": shown}
    assert "\\u" not in arguments_shown, "it is for people"


def test_an_id_of_a_call_is_one_that_every_client_takes() -> None:
    assert re.fullmatch(r"confirm_[A-Za-z0-9_-]{32}", TOKEN)


@given(st.builds(Question, st.text(), st.text(), st.integers(-(2**40), 2**40), st.booleans()))
def test_what_was_written_is_read(question: Question) -> None:
    assert decode_question(encode_question(question)) == question


@pytest.mark.parametrize(
    "text", ["", "{", "7", '["a","b",9999]', '{"session":"a"}', '["a","b","soon",false]', '["a","b",Infinity,false]']
)
def test_what_nobody_has_written_is_no_question(text: str) -> None:
    assert decode_question(text) is None


questions = st.builds(Question, st.text(), st.text(), st.integers(), st.booleans())


@given(questions, st.text(), st.text(), questions, st.text(), st.text())
def test_it_answers_one_question_of_one_caller_with_one_model(
    one: Question, scope: str, model: str, other: Question, other_scope: str, other_model: str
) -> None:
    token = sign(one, KEYS, scope, model)
    same = (one, scope, model) == (other, other_scope, other_model)
    assert is_signed(token, one, KEYS, scope, model)
    assert is_signed(token, other, KEYS, other_scope, other_model) == same


def test_scope_and_model_cannot_be_shifted() -> None:
    assert sign(QUESTION, KEYS, "ad", "aowl") != TOKEN


@given(st.integers(0, 39), st.sampled_from("ABab01-_"))
def test_no_letter_can_be_changed(place: int, letter: str) -> None:
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]
    assert is_signed(changed, QUESTION, KEYS, SCOPE, MODEL) == (changed == TOKEN)


def test_it_still_reads_when_the_secret_is_replaced() -> None:
    secrets = Secrets([b"old"])
    keys = SigningKeys(secrets)
    token = sign(QUESTION, keys, SCOPE, MODEL)
    secrets.prefer(b"new")
    assert is_signed(token, QUESTION, keys, SCOPE, MODEL)
    assert sign(QUESTION, keys, SCOPE, MODEL) != token
    assert not is_signed(token, QUESTION, SigningKeys(Secrets([b"new"])), SCOPE, MODEL)


YES = [
    "yes",
    "YES",
    "y",
    "true",
    "ok",
    "Ok.",
    "yes!",
    "approve",
    "approved",
    "confirm",
    "confirmed",
    "allow",
    "allowed",
]
NO = ["no", "", " ", "nope", "yes please", "not ok", "1", "[]", "null", "0", "{}", "{", "[true]", '["yes"]', '"no"']


@pytest.mark.parametrize("answer", [*YES, " yes \n", '"yes"', '{"confirmed": true}', '{"confirmed":true,"x":1}'])
def test_a_yes(answer: str) -> None:
    found = read(answer)
    assert found.reply.confirmed


@pytest.mark.parametrize(
    "answer",
    [*NO, "false", '{"confirmed": false}', '{"confirmed": "true"}', '{"confirmed": 1}', '{"yes": true}', "[" * 100_000],
)
def test_everything_else_is_a_no(answer: str) -> None:
    found = read(answer)
    assert not found.reply.confirmed


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"confirmed": false, "reason": "It is Sunday."}', "It is Sunday."),
        ('{"confirmed": false, "reason": 7}', ""),
        ('{"confirmed": false}', ""),
        ("It is Sunday.", "It is Sunday."),
        ("true", ""),
    ],
)
def test_the_reason_is_what_was_said(answer: str, reason: str) -> None:
    found = read(answer)
    assert found.reply.reason == reason


def test_the_answer_may_come_in_parts_and_among_others() -> None:
    other = Message("tool", (Text("06:12"),), tool_call_id="call_7")
    parts = Message("tool", (Text('{"confirmed":'), Media("image", url="http://x"), Text("true}")), tool_call_id=TOKEN)
    question = asking(ToolCall("call_7", "tide", "{}"), ToolCall(TOKEN, CONFIRM_TOOL, "{}"))
    assert find_result([Message("user", (Text("Hi"),)), question, other, parts], ()) is parts
    confirmation = read_result(parts, QUESTION)
    assert confirmation == Confirmation(
        QUESTION, ConfirmationReply(QUESTION.call_id, True, "", '{"confirmed":true}'), TOKEN
    )


def called(call_id: str, name: str = CONFIRM_TOOL) -> Message:
    return asking(ToolCall(call_id, name, "{}"))


@pytest.mark.parametrize("call_id", [TOKEN, TOKEN[:12], "confirm_", "call_1"])
def test_a_result_of_the_question_is_found_whatever_became_of_its_id(call_id: str) -> None:
    """It must never begin another run."""
    result = answered("yes", call_id)
    assert find_result([called(call_id), result], ()) is result


def test_a_client_may_declare_the_tool_to_be_able_to_run_it() -> None:
    assert find_result([called(TOKEN), answered("yes")], (CONFIRM_TOOL,)) is not None
    own = [called("call_1"), answered("yes", "call_1")]
    assert find_result(own, (CONFIRM_TOOL,)) is None, "the agent has called the client's tool"


def test_other_results_answer_nothing() -> None:
    assert find_result([called(TOKEN, "tide"), answered("yes")], ()) is None
    assert find_result([], ()) is None
    assert find_result([called(TOKEN)], ()) is None


def test_what_was_answered_before_is_no_answer_any_more() -> None:
    message = Message("assistant", (Text("It is over."),))
    thanks = Message("user", (Text("Thanks."),))
    assert find_result([called(TOKEN), answered("yes"), message, thanks], ()) is None


def test_a_token_in_another_role_is_no_answer() -> None:
    assert find_result([called(TOKEN), Message("user", (Text("yes"),), tool_call_id=TOKEN)], ()) is None


ASKED = question_arguments(ConfirmationRequired(QUESTION.call_id, "launch", '{"ship":"Pen Duick"}', "Launch?"))


@pytest.mark.parametrize(
    ("arguments", "name", "native"),
    [
        (ASKED, "launch", '{"ship": "Pen Duick"}'),
        ("{}", "", "{}"),
        ("[1]", "", "{}"),
        ("no JSON", "", "{}"),
        ("[" * 100_000, "", "{}"),
    ],
)
def test_an_agent_that_is_run_again_finds_its_own_call(arguments: str, name: str, native: str) -> None:
    other = ToolCall("call_7", "tide", "{}")
    before = Message("user", (Text("Go."),))
    question = Message("assistant", (Text("Well."),), tool_calls=(other, ToolCall(TOKEN, CONFIRM_TOOL, arguments)))
    result = Message("tool", (Text("06:12"),), tool_call_id="call_7")
    answer = Message("tool", (Text("yes"),), tool_call_id=TOKEN)
    found = read_result(answer, QUESTION)
    own = Message("assistant", (Text("Well."),), tool_calls=(other, ToolCall(QUESTION.call_id, name, native)))
    assert restore([before, question, result, answer], found) == (before, own, result)
