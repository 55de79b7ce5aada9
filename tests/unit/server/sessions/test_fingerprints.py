"""Names and digests by which a session is found again: equal for the same, different for everything else."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.answer import (
    AnswerFinished,
    AnswerStarted,
    FinishReason,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
)
from oaicompat_proxy.core.caller import scope_of
from oaicompat_proxy.core.message import Media, Message, Text, ToolCall
from oaicompat_proxy.server.sessions.fingerprints import (
    AnswerFingerprint,
    conversation_fingerprint,
    derive_session_name,
    up_to_last_answer,
)

SECRET = b"secret"
SCOPE = scope_of("Bearer ada")
PICTURE = Media("image", url="https://harbor.example/quay.png")


def new_message(role: Any, text: str, **more: Any) -> Message:
    return Message(role, (Text(text),), **more)


def digest(*messages: Message, secret: bytes = SECRET, scope: str = SCOPE, model: str = "owl") -> str:
    return conversation_fingerprint(secret, scope, model, messages)


def of_answer(before: list[Message], *chunks: Part, model: str = "owl") -> str:
    answer = AnswerFingerprint(SECRET, SCOPE, model, before)
    for chunk in chunks:
        answer.add(chunk)
    return answer.hexdigest()


# Names


@pytest.mark.parametrize("name", ["harbour", "research:x", ":", "../..", "", "\u6e2f", "\ud83d", "\x00", "x" * 100_000])
def test_a_name_becomes_a_word_that_chooses_nothing(name: str) -> None:
    assert re.fullmatch(r"oc-[0-9a-f]{48}", derive_session_name(SECRET, SCOPE, "demo", name))


def test_a_session_depends_on_secret_caller_app_and_name() -> None:
    secrets, scopes, apps, names = [b"a", b"b"], [scope_of("a"), scope_of("b")], ["", "demo"], ["x", "demo"]
    sessions = {derive_session_name(*each) for each in itertools.product(secrets, scopes, apps, names)}
    assert len(sessions) == 16


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_parts_of_a_name_cannot_be_shifted(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (derive_session_name(SECRET, SCOPE, *one) == derive_session_name(SECRET, SCOPE, *other)) == (one == other)


def test_a_caller_is_known_by_its_authorization_which_is_not_shown() -> None:
    assert scope_of("Bearer ada") == scope_of("Bearer ada") != scope_of("Bearer bob")
    assert "ada" not in scope_of("Bearer ada")
    assert scope_of("") != scope_of("Bearer ")
    assert scope_of("Bearer \udce9") != scope_of("Bearer \udce8"), "as aiohttp reads bytes that are no UTF-8"


# Conversations

HELLO = [new_message("system", "Be brief."), new_message("user", "Hello there."), new_message("assistant", "Hi!")]

SAME: dict[str, list[Message]] = {
    "white space": [
        new_message("system", " Be  brief.\n"),
        new_message("user", "Hello\tthere."),
        new_message("assistant", "Hi!\n\n"),
    ],
    "parts": [
        new_message("system", "Be brief."),
        Message("user", (Text("Hello "), Text("there."))),
        new_message("assistant", "Hi!"),
    ],
    "speakers' names": [HELLO[0], new_message("user", "Hello there.", name="ada"), HELLO[2]],
}
OTHER: dict[str, list[Message]] = {
    "a word": [HELLO[0], new_message("user", "Hello here."), HELLO[2]],
    "the case": [HELLO[0], new_message("user", "hello there."), HELLO[2]],
    "a role": [HELLO[0], new_message("system", "Hello there."), HELLO[2]],
    "one less": HELLO[1:],
    "one more": [*HELLO, new_message("user", "")],
    "the order": [HELLO[1], HELLO[0], HELLO[2]],
    "another end": [HELLO[0], HELLO[1], new_message("assistant", "Hi")],
    "a shifted edge": [new_message("system", "Be brief.Hello"), new_message("user", "there."), HELLO[2]],
    "a picture": [HELLO[0], Message("user", (Text("Hello there."), PICTURE)), HELLO[2]],
}


@pytest.mark.parametrize("messages", SAME.values(), ids=SAME)
def test_it_is_the_same_conversation_whatever(messages: list[Message]) -> None:
    assert digest(*messages) == digest(*HELLO)


@pytest.mark.parametrize("messages", OTHER.values(), ids=OTHER)
def test_it_is_another_conversation_with(messages: list[Message]) -> None:
    assert digest(*messages) != digest(*HELLO)


def test_it_is_another_conversation_for_another_caller_model_or_secret() -> None:
    others = [digest(*HELLO, secret=b"x"), digest(*HELLO, scope=scope_of("bob")), digest(*HELLO, model="cat")]
    assert len({digest(*HELLO), *others}) == 4


def asks(arguments: str, *, call_id: str = "c1", name: str = "tide") -> Message:
    return Message("assistant", (), tool_calls=(ToolCall(call_id, name, arguments),))


@pytest.mark.parametrize(
    ("call", "same"),
    [
        (asks('{"port":"Brest","day":1}'), True),
        (asks('{ "day": 1,\n "port": "Brest" }'), True),
        (asks('{"port":"Brest","day":1}', call_id="other"), True),
        (asks('{"port":"Brest","day":2}'), False),
        (asks('{"port":"Brest","day":1}', name="ebb"), False),
        (asks('{"port":"Brest"'), False),
        (new_message("assistant", ""), False),
    ],
)
def test_calls_are_compared_by_name_and_meaning(call: Message, same: bool) -> None:
    assert (digest(HELLO[1], call) == digest(HELLO[1], asks('{"port":"Brest","day":1}'))) == same


@pytest.mark.parametrize("arguments", ["", "{", "[" * 100_000, "\ud83d", "NaN", "9" * 5000])
def test_arguments_that_are_no_json_are_compared_too(arguments: str) -> None:
    assert digest(asks(arguments)) == digest(asks(arguments)) != digest(asks(arguments + "x"))


def test_pictures_are_distinguished() -> None:
    pictures = [
        PICTURE,
        Media("image", data="aGk="),
        Media("image", data="aGk=", name="a"),
        Media("audio", data="aGk="),
    ]
    assert len({digest(Message("user", (picture,))) for picture in pictures}) == 4


def test_lone_surrogates_break_nothing() -> None:
    assert re.fullmatch(
        "[0-9a-f]{80}", digest(new_message("user", "\ud83d", tool_call_id="\ud83d"), asks("\udc00", name="\ud83d"))
    )


# Answers

ANSWERS: dict[str, Callable[[], tuple[list[Part], Message]]] = {
    "a text": lambda: (
        [AnswerStarted(True), TextPart("At "), TextPart("06:12.")],
        new_message("assistant", "At 06:12."),
    ),
    "reasoning that clients drop": lambda: ([ReasoningPart("Hm."), TextPart("Yes.")], new_message("assistant", "Yes.")),
    "a call": lambda: (
        [ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, '{"port":'), ToolCallArguments(0, '"Brest"}')],
        asks('{"port": "Brest"}'),
    ),
    "a text and two calls": lambda: (
        [
            TextPart("Let me look."),
            ToolCallOpened(0, "c1", "tide"),
            ToolCallArguments(0, "{}"),
            ToolCallOpened(1, "c2", "ebb"),
            ToolCallArguments(1, '{"a":1}'),
        ],
        new_message(
            "assistant", "Let me look.", tool_calls=(ToolCall("x", "tide", "{}"), ToolCall("y", "ebb", '{"a": 1}'))
        ),
    ),
    "nothing": lambda: ([], Message("assistant", ())),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answers_digest_is_that_of_the_returned_conversation(name: str) -> None:
    chunks, message = ANSWERS[name]()
    before = [new_message("user", "When is high tide?")]
    assert of_answer(before, *chunks, AnswerFinished(FinishReason.STOP)) == digest(*before, message)
    assert of_answer(before, *chunks, TextPart("!")) != digest(*before, message)


@given(st.lists(st.text()), st.lists(st.text()))
def test_how_an_answer_is_cut_does_not_matter(before: list[str], pieces: list[str]) -> None:
    messages = [new_message("user", text) for text in before]
    chunks = [TextPart(piece) for piece in pieces]
    assert of_answer(messages, *chunks) == digest(*messages, new_message("assistant", "".join(pieces)))


def test_arguments_of_an_answer_may_be_written_anew_by_a_client() -> None:
    given_ = {"b": [1, {"d": None, "c": "é"}], "a": 0.5}
    chunks: list[Part] = [ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, json.dumps(given_))]
    assert of_answer([], *chunks) == digest(asks(json.dumps(given_, ensure_ascii=False, indent=4, sort_keys=True)))


@pytest.mark.parametrize(
    ("roles", "count"),
    [("", 0), ("u", 0), ("ua", 2), ("uau", 2), ("uaua", 4), ("uatu", 2), ("suatat", 5)],
)
def test_a_conversation_is_answered_up_to_its_last_answer(roles: str, count: int) -> None:
    names: dict[str, Any] = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    messages = [Message(names[role], (Text("x"),)) for role in roles]
    assert list(up_to_last_answer(messages)) == messages[:count]
