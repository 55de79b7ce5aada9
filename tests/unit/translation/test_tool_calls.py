"""Whose call is it, and in which order does it go out? Steps in, chunks out."""

import pytest

from oaicompat_proxy.core.answer import Part
from oaicompat_proxy.core.answer import ToolCallArguments as Piece
from oaicompat_proxy.core.answer import ToolCallOpened as Head
from oaicompat_proxy.translation.buffer_limit import BufferLimit
from oaicompat_proxy.translation.tool_calls import ToolCalls

OURS = frozenset({"tide", "moon"})

Step = tuple[str, ...]
Conversation = list[tuple[Step, list[Part]]]

CONVERSATIONS: dict[str, Conversation] = {
    "a declared call goes out while it comes": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("add_arguments", "c1", '{"port"'), [Piece(0, '{"port"')]),
        (("add_arguments", "c1", ':"Brest"}'), [Piece(0, ':"Brest"}')]),
        (("end", "c1"), []),
        (("end_message",), []),
    ],
    "its whole form says nothing new": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("add_arguments", "c1", "{}"), [Piece(0, "{}")]),
        (("add_whole", "c1", "tide", '{"port":"Brest"}'), []),
        (("add_whole", "c1", "tide", '{"port":"Brest"}'), []),
        (("end", "c1"), []),
    ],
    "a call that comes only whole": [
        (("add_whole", "c1", "tide", "{}"), [Head(0, "c1", "tide"), Piece(0, "{}")]),
        (("add_whole", "c1", "tide", "{}"), []),
    ],
    "a call that ends without pieces waits for its whole form": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("end", "c1"), []),
        (("add_whole", "c1", "tide", '{"port":"Brest"}'), [Piece(0, '{"port":"Brest"}')]),
    ],
    "no arguments at all are an empty object": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("end", "c1"), []),
        (("end_message",), [Piece(0, "{}")]),
        (("end_message",), []),
    ],
    "a whole form without arguments is an empty object": [
        (("add_whole", "c1", "tide", ""), [Head(0, "c1", "tide"), Piece(0, "{}")]),
    ],
    "empty pieces say nothing": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("add_arguments", "c1", ""), []),
        (("add_whole", "c1", "tide", '{"a":1}'), [Piece(0, '{"a":1}')]),
    ],
    "pieces after the end are not its own": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("add_arguments", "c1", "{}"), [Piece(0, "{}")]),
        (("end", "c1"), []),
        (("add_arguments", "c1", "{}"), []),
    ],
    "interleaved calls go out one after another": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("start", "c2", "moon"), []),
        (("add_arguments", "c1", '{"a"'), [Piece(0, '{"a"')]),
        (("add_arguments", "c2", '{"b"'), []),
        (("add_arguments", "c1", ":1}"), [Piece(0, ":1}")]),
        (("add_arguments", "c2", ":2}"), []),
        (("end", "c2"), []),
        (("end", "c1"), [Head(1, "c2", "moon"), Piece(1, '{"b":2}')]),
    ],
    "the second streams as soon as the first has ended": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("start", "c2", "moon"), []),
        (("add_whole", "c1", "tide", "{}"), [Piece(0, "{}"), Head(1, "c2", "moon")]),
        (("add_arguments", "c2", "{}"), [Piece(1, "{}")]),
    ],
    "calls that never end have one at the message's end": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("start", "c2", "moon"), []),
        (("add_arguments", "c2", "{}"), []),
        (("end_message",), [Piece(0, "{}"), Head(1, "c2", "moon"), Piece(1, "{}")]),
    ],
    "pieces before the name are kept": [
        (("add_arguments", "c1", "{}"), []),
        (("start", "c1", "tide"), [Head(0, "c1", "tide"), Piece(0, "{}")]),
    ],
    "an undeclared call is held": [
        (("start", "c1", "add"), []),
        (("add_arguments", "c1", "{}"), []),
        (("end", "c1"), []),
        (("end_message",), []),
        (("end_tick",), []),
        (("release_held",), []),
    ],
    "an undeclared call is handed out if the run ends on it": [
        (("start", "c1", "add"), []),
        (("add_arguments", "c1", '{"a"'), []),
        (("add_arguments", "c1", ":1}"), []),
        (("start", "c2", "sub"), []),
        (("release_held",), [Head(0, "c1", "add"), Piece(0, '{"a":1}'), Head(1, "c2", "sub"), Piece(1, "{}")]),
    ],
    "an undeclared call does not hold up a declared one": [
        (("start", "c1", "add"), []),
        (("start", "c2", "tide"), [Head(0, "c2", "tide")]),
        (("add_arguments", "c2", "{}"), [Piece(0, "{}")]),
    ],
    "indexes have no gaps over several ticks": [
        (("start", "c1", "add"), []),
        (("end_tick",), []),
        (("add_whole", "c2", "tide", "{}"), [Head(0, "c2", "tide"), Piece(0, "{}")]),
        (("add_whole", "c3", "moon", "{}"), [Head(1, "c3", "moon"), Piece(1, "{}")]),
    ],
    "a call without an id gets one": [
        (("add_whole", "", "tide", "{}"), [Head(0, "call_0", "tide"), Piece(0, "{}")]),
    ],
    "a character cut in two is whole again": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("add_arguments", "c1", '"\ud83c'), [Piece(0, '"')]),
        (("add_arguments", "c1", '\udf0a"'), [Piece(0, '\U0001f30a"')]),
    ],
    "a whole form that ends in half a character is whole as far as it goes": [
        (
            ("add_whole", "c1", "tide", '"\ud83c\udf0a\ud83c'),
            [Head(0, "c1", "tide"), Piece(0, '"\U0001f30a\ufffd')],
        ),
    ],
    "half a character that stays alone is replaced": [
        (("start", "c1", "tide"), [Head(0, "c1", "tide")]),
        (("add_arguments", "c1", '"\ud83c'), [Piece(0, '"')]),
        (("end", "c1"), [Piece(0, "\ufffd")]),
    ],
}


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_step_and_what_goes_out_then(conversation: Conversation) -> None:
    calls = ToolCalls(OURS, BufferLimit())
    for (method, *arguments), expected in conversation:
        assert (getattr(calls, method)(*arguments) or []) == expected, method


@pytest.mark.parametrize(
    ("steps", "client_must_act", "pending"),
    [
        ([], False, False),
        ([("start", "c1", "add")], False, True),
        ([("start", "c1", "tide")], True, True),
        ([("start", "c1", "add"), ("start", "c2", "tide")], True, True),
        ([("start", "c1", "tide"), ("end_tick",)], False, False),
        ([("start", "c1", "add"), ("mark_handled", "c1")], False, False),
        ([("start", "c1", "tide"), ("mark_handled", "c1")], True, True),
        ([("add_arguments", "c1", "{}")], False, False),
        ([("end", "c1")], False, False),
    ],
)
def test_it_knows_who_must_act(steps: list[Step], client_must_act: bool, pending: bool) -> None:
    calls = ToolCalls(OURS, BufferLimit())
    for method, *arguments in steps:
        getattr(calls, method)(*arguments)
    assert (calls.client_must_act, calls.pending) == (client_must_act, pending)


def test_declarations_are_not_changed_by_what_is_handed_out() -> None:
    calls = ToolCalls(OURS, BufferLimit())
    calls.start("c1", "add")
    calls.release_held()
    assert {"tide", "moon"} == OURS


def test_a_whole_call_that_comes_again_early_is_not_held_back() -> None:
    calls = ToolCalls(OURS, BufferLimit())
    calls.add_whole("", "add", "{}")
    calls.add_whole("", "add", "{}", held=True)
    assert calls.release_held() == [Head(0, "call_0", "add"), Piece(0, "{}")]
