"""Messages with ids and tools as they are, for agents that take both."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.api.openai.chat.request import parse
from oaicompat_proxy.core.request import ChatRequest, Message, ToolCall
from oaicompat_proxy.core.turn import Call, Media, Text, Tool, Utterance
from oaicompat_proxy.translation.history import FREE_TEXT, NO_ARGUMENTS, declared_tools, utter

CALL = ToolCall("c1", "tide", '{"port":"Brest"}')


def request(**fields: Any) -> ChatRequest:
    body = {"model": "owl", "messages": [{"role": "user", "content": "?"}], **fields}
    return parse(json.dumps(body).encode(), max_media=0, max_messages=10)


def test_every_message_is_what_it_was() -> None:
    messages = [
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("Look:"), Media("image", url="https://harbor.example/quay.png")), name="ada"),
        Message("assistant", (), tool_calls=(CALL,)),
        Message("tool", (Text("06:12"),), tool_call_id="c1"),
        Message("assistant", (Text("At 06:12."),)),
    ]
    assert [replace(each, id="") for each in utter(messages)] == [
        Utterance("system", messages[0].blocks),
        Utterance("user", messages[1].blocks, name="ada"),
        Utterance("assistant", (), (Call("c1", "tide", '{"port":"Brest"}'),)),
        Utterance("tool", messages[3].blocks, (), "c1", "tide"),
        Utterance("assistant", messages[4].blocks),
    ]


def test_what_the_proxy_told_is_not_told_back() -> None:
    (answer,) = utter([Message("assistant", (Text("⟦tool⟧ add → 42\n\nIt is 42."),))])
    assert answer.blocks == (Text("It is 42."),)
    (question,) = utter([Message("user", (Text("⟦tool⟧ add → 42\n\nWhat is this?"),))])
    assert question.blocks == (Text("⟦tool⟧ add → 42\n\nWhat is this?"),)


MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["user", "assistant", "system"]), st.just((Text("Yes."),))), max_size=6
)


@given(MESSAGES, MESSAGES)
def test_an_id_is_the_same_whenever_the_conversation_is_sent_again(before: list[Message], more: list[Message]) -> None:
    first, second = list(utter(before)), list(utter([*before, *more]))
    assert second[: len(first)] == first


@given(MESSAGES)
def test_no_two_messages_have_the_same_id_though_they_say_the_same(messages: list[Message]) -> None:
    ids = [utterance.id for utterance in utter(messages)]
    assert len(set(ids)) == len(messages)


def test_another_beginning_makes_other_ids() -> None:
    yes = Message("user", (Text("Yes."),))
    assert list(utter([yes, yes]))[1].id != list(utter([Message("user", (Text("No."),)), yes]))[1].id


def test_half_a_character_has_an_id_too() -> None:
    assert len(list(utter([Message("user", (Text("\ud83c"),))]))) == 1


def test_calls_of_the_older_kind_are_paired_by_their_place() -> None:
    old = ToolCall("", "tide", "{}")
    result = Message("tool", (Text("06:12"),), name="tide")
    said = list(utter([Message("assistant", (), tool_calls=(old,)), result] * 2))
    (first,), (second,) = said[0].calls, said[2].calls
    assert (said[1].call_id, said[3].call_id) == (first.id, second.id)
    assert first.id != second.id


TIDE = {"name": "tide", "description": "Tide table", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    ("fields", "tools"),
    [
        ({}, []),
        ({"tools": [{"type": "function", "function": TIDE}]}, [Tool("tide", "Tide table", {"type": "object"})]),
        ({"tools": [{"type": "function", "function": {"name": "tide"}}]}, [Tool("tide", "", NO_ARGUMENTS)]),
        ({"tools": [{"type": "custom", "custom": {"name": "sql"}}]}, [Tool("sql", "", FREE_TEXT)]),
        ({"functions": [TIDE]}, [Tool("tide", "Tide table", {"type": "object"})]),
        ({"tools": [{"type": "function", "function": TIDE}], "tool_choice": "none"}, []),
        ({"functions": [TIDE], "function_call": "none"}, []),
    ],
)
def test_the_tools_are_those_that_the_agent_may_call(fields: dict[str, Any], tools: list[Tool]) -> None:
    assert list(declared_tools(request(**fields))) == tools
