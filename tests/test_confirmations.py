"""The question to the client and its answer: signed, expiring, and a yes only where a yes was said."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.confirmations import (
    CONFIRM_TOOL,
    TOKEN_PREFIX,
    Confirmation,
    Question,
    describe,
    find_confirmation,
    restore,
    sign,
)
from oaicompat_proxy.errors import InvalidRequest
from oaicompat_proxy.events import ConfirmationRequired
from oaicompat_proxy.openai.request import Message, ToolCall
from oaicompat_proxy.turn import Answer, Media, Text

SECRET, SCOPE, NOW = b"secret", "ada", 1000.0
QUESTION = Question("demo:oc-1", "call_1", 1060, lasting=False)
TOKEN = sign(QUESTION, SECRET, SCOPE)


def answered(text: str, token: str = TOKEN) -> Message:
    return Message("tool", (Text(text),), tool_call_id=token)


def find(*messages: Message, secret: bytes = SECRET, scope: str = SCOPE, now: float = NOW) -> Confirmation | None:
    return find_confirmation(messages, secret=secret, scope=scope, now=now)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [('{"x":1}', {"x": 1}), ("", ""), ("{", "{"), ("null", None), ('{"caf\u00e9":"\u6e2f"}', {"caf\u00e9": "\u6e2f"})],
)
def test_the_question_shows_what_the_agent_wants(arguments: str, shown: Any) -> None:
    told = describe(ConfirmationRequired("c1", "danger", arguments, "Allow?"))
    assert json.loads(told) == {"message": "Allow?", "tool": "danger", "arguments": shown}
    assert "\\u" not in told, "it is for people"


def test_an_id_of_a_call_has_only_harmless_letters() -> None:
    assert TOKEN.startswith(TOKEN_PREFIX)
    assert TOKEN.replace("_", "").replace("-", "").isalnum()


@given(st.builds(Question, st.text(), st.text(), st.integers(1000, 2**40), st.booleans()), st.text())
def test_what_was_signed_comes_back(question: Question, scope: str) -> None:
    found = find(answered("yes", sign(question, SECRET, scope)), scope=scope)
    assert found is not None
    assert found.question == question


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


@pytest.mark.parametrize("said", [*YES, " yes \n", '"yes"', '{"confirmed": true}', '{"confirmed":true,"x":1}'])
def test_a_yes(said: str) -> None:
    found = find(answered(said))
    assert found is not None
    assert found.answer.confirmed


@pytest.mark.parametrize(
    "said",
    [*NO, "false", '{"confirmed": false}', '{"confirmed": "true"}', '{"confirmed": 1}', '{"yes": true}', "[" * 100_000],
)
def test_everything_else_is_a_no(said: str) -> None:
    found = find(answered(said))
    assert found is not None
    assert not found.answer.confirmed


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('{"confirmed": false, "reason": "It is Sunday."}', "It is Sunday."),
        ('{"confirmed": false, "reason": 7}', ""),
        ('{"confirmed": false}', ""),
        ("It is Sunday.", "It is Sunday."),
        ("true", ""),
    ],
)
def test_the_reason_is_what_was_said(said: str, reason: str) -> None:
    found = find(answered(said))
    assert found is not None
    assert found.answer.reason == reason


def test_the_answer_may_come_in_parts_and_among_others() -> None:
    other = Message("tool", (Text("06:12"),), tool_call_id="call_7")
    parts = Message("tool", (Text('{"confirmed":'), Media("image", url="http://x"), Text("true}")), tool_call_id=TOKEN)
    found = find(Message("user", (Text("Hi"),)), other, parts)
    assert found == Confirmation(QUESTION, Answer(QUESTION.call_id, True, "", '{"confirmed":true}'), TOKEN)


def test_other_results_answer_nothing() -> None:
    results = [Message("tool", (Text("yes"),), tool_call_id=call_id) for call_id in ("call_1", "confirm", None)]
    assert find(*results) is None
    assert find() is None


def test_a_token_in_another_role_is_no_answer() -> None:
    assert find(Message("user", (Text("yes"),), tool_call_id=TOKEN)) is None


def signed(payload: bytes) -> str:
    """A good signature under anything."""
    signature = hmac.new(SECRET, SCOPE.encode() + b"\0" + payload, hashlib.sha256).digest()[:16]
    return TOKEN_PREFIX + base64.urlsafe_b64encode(signature + payload).decode().rstrip("=")


REFUSED = {
    "empty": TOKEN_PREFIX,
    "no base64": TOKEN_PREFIX + "\u00e9!?",
    "one letter": TOKEN_PREFIX + "A",
    "only a signature": TOKEN_PREFIX + base64.urlsafe_b64encode(bytes(16)).decode(),
    "no signature": TOKEN_PREFIX + base64.urlsafe_b64encode(json.dumps(list(QUESTION)).encode()).decode(),
    "cut": TOKEN[:-4],
    "continued": TOKEN + "AAAA",
    "no json": signed(b"{"),
    "no list": signed(b"7"),
    "too short a list": signed(b'["a","b",9999]'),
    "not UTF-8": signed(b"\xff"),
    "an object": signed(b'{"session":"a"}'),
    "expiry that is no number": signed(b'["a","b","soon",false]'),
    "no expiry": signed(b'["a","b",Infinity,false]'),
}


@pytest.mark.parametrize("token", REFUSED.values(), ids=REFUSED)
def test_what_was_not_asked_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest, match="confirmation") as refusal:
        find(answered("yes", token))
    assert refusal.value.param == "messages"


def test_another_caller_secret_or_time_is_refused() -> None:
    for other in ({"scope": "bob"}, {"scope": ""}, {"secret": b"other"}, {"now": 1061.0}):
        with pytest.raises(InvalidRequest):
            find(answered("yes"), **other)
    assert find(answered("yes"), now=1060.0) is not None


def test_scope_and_payload_cannot_be_shifted() -> None:
    one, other = sign(QUESTION, SECRET, "ada\0["), sign(QUESTION, SECRET, "ada")
    assert one != other


@given(st.integers(0, len(TOKEN) - len(TOKEN_PREFIX) - 1), st.sampled_from("ABab01-_"))
def test_no_letter_can_be_changed(place: int, letter: str) -> None:
    place += len(TOKEN_PREFIX)
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]
    raw, new = (base64.urlsafe_b64decode(each[len(TOKEN_PREFIX) :] + "==") for each in (TOKEN, changed))
    if raw != new:  # the last letter has bits that mean nothing
        with pytest.raises(InvalidRequest):
            find(answered("yes", changed))


ASKED = describe(ConfirmationRequired(QUESTION.call_id, "launch", '{"ship":"Pen Duick"}', "Launch?"))


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
    found = find(result, answer)
    assert found is not None
    own = Message("assistant", (Text("Well."),), tool_calls=(other, ToolCall(QUESTION.call_id, name, native)))
    assert restore([before, question, result, answer], found) == (before, own, result)
