"""A conversation message by message: ids, names of tools, no narration."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.message import Media, Message, Text, ToolCall
from oaicompat_proxy.translation.history import to_native_messages

CALL = ToolCall("c1", "tide", '{"port":"Brest"}')


def test_every_message_is_what_it_was() -> None:
    messages = [
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("Look:"), Media("image", url="https://harbor.example/quay.png")), name="ada"),
        Message("assistant", (), tool_calls=(CALL,)),
        Message("tool", (Text("06:12"),), tool_call_id="c1"),
        Message("assistant", (Text("At 06:12."),)),
    ]
    assert [replace(each, id="") for each in to_native_messages(messages)] == [
        Message("system", messages[0].blocks),
        Message("user", messages[1].blocks, name="ada"),
        Message("assistant", (), tool_calls=(CALL,)),
        Message("tool", messages[3].blocks, "tide", (), "c1"),
        Message("assistant", messages[4].blocks),
    ]


def test_narration_is_not_sent_back_to_the_agent() -> None:
    (answer,) = to_native_messages([Message("assistant", (Text("⟦tool⟧ add → 42\n\nIt is 42."),))])
    assert answer.blocks == (Text("It is 42."),)
    (question,) = to_native_messages([Message("user", (Text("⟦tool⟧ add → 42\n\nWhat is this?"),))])
    assert question.blocks == (Text("⟦tool⟧ add → 42\n\nWhat is this?"),)


MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["user", "assistant", "system"]), st.just((Text("Yes."),))), max_size=6
)


@given(MESSAGES, MESSAGES)
def test_an_id_is_the_same_whenever_the_conversation_is_sent_again(before: list[Message], more: list[Message]) -> None:
    first, second = list(to_native_messages(before)), list(to_native_messages([*before, *more]))
    assert second[: len(first)] == first


@given(MESSAGES)
def test_no_two_messages_have_the_same_id_though_they_say_the_same(messages: list[Message]) -> None:
    ids = [message.id for message in to_native_messages(messages)]
    assert len(set(ids)) == len(messages)


def test_another_beginning_makes_other_ids() -> None:
    yes, no = (Message("user", (Text(word),)) for word in ("Yes.", "No."))
    assert list(to_native_messages([yes, yes]))[1].id != list(to_native_messages([no, yes]))[1].id


def test_half_a_character_has_an_id_too() -> None:
    assert len(list(to_native_messages([Message("user", (Text("\ud83c"),))]))) == 1


def test_calls_of_the_older_kind_are_paired_by_their_place() -> None:
    old = ToolCall("", "tide", "{}")
    result = Message("tool", (Text("06:12"),), name="tide")
    messages = list(to_native_messages([Message("assistant", (), tool_calls=(old,)), result] * 2))
    (first,), (second,) = messages[0].tool_calls, messages[2].tool_calls
    assert (messages[1].tool_call_id, messages[3].tool_call_id) == (first.id, second.id)
    assert first.id != second.id


def test_ids_stay_the_same_from_one_release_to_the_next() -> None:
    """Agents keep threads of messages by id, and the proxy is upgraded in the middle of conversations."""
    picture = Media("image", url="https://harbor.example/quay.png")
    messages = [
        Message("user", (Text("When is high tide?"),)),
        Message("assistant", (picture,), None, (ToolCall("c1", "tide", "{}"),)),
        Message("tool", (Text("06:12"),), tool_call_id="c1"),
    ]
    assert [each.id for each in to_native_messages(messages)] == [
        "m-82ce07aec75849611c274dfd",
        "m-d0947abd4dbc464b2ce649c6",
        "m-defd499b71f311e3fb0ca1d4",
    ]
