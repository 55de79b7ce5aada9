"""One text after the other, however the messages come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oaicompat_proxy.dialects.ag_ui.messages import MOST_HELD, Messages
from oaicompat_proxy.events import Event, TextDelta, TextStarted


def test_a_message_flows_as_it_comes() -> None:
    messages = Messages()
    assert messages.start("a1", "assistant") == [TextStarted(apart=True)]
    assert messages.add("a1", "Hi") == [TextDelta("Hi")]
    assert messages.end("a1") == []


def test_a_message_that_is_not_the_agents_is_an_echo_until_it_ends() -> None:
    messages = Messages()
    assert messages.start("u1", "user") == []
    assert messages.add("u1", "Hi") == []
    assert messages.end("u1") == []
    assert not messages.said
    assert messages.add("u1", "Hi") == [TextStarted(apart=True), TextDelta("Hi")]


def test_the_same_message_goes_on_where_it_was() -> None:
    messages = Messages()
    told = [*messages.add_chunk("a1", "assistant", "Six"), *messages.close_chunks()]
    told += messages.add_chunk("a1", "assistant", " bells")
    assert told == [TextStarted(apart=True), TextDelta("Six"), TextStarted(apart=False), TextDelta(" bells")]


def test_a_second_start_and_an_end_of_nothing_say_nothing() -> None:
    messages = Messages()
    messages.start("a1", "assistant")
    assert messages.start("a1", "assistant") == []
    assert messages.end("a2") == []
    assert messages.close_chunks() == []


def test_who_began_first_has_the_floor() -> None:
    messages = Messages()
    messages.start("a1", "assistant")
    assert messages.add("a2", "Two") == []
    assert messages.add("a1", "One") == [TextDelta("One")]
    assert messages.end("a1") == [TextStarted(apart=True), TextDelta("Two")]
    assert messages.add("a2", "!") == [TextDelta("!")]


def test_a_run_that_ends_lets_everybody_finish() -> None:
    messages = Messages()
    for name in ("a1", "a2", "a3"):
        messages.add(name, name)
    start = TextStarted(apart=True)
    assert messages.close() == [start, TextDelta("a2"), start, TextDelta("a3")]


def test_what_is_held_has_a_bound() -> None:
    messages = Messages()
    messages.start("a1", "assistant")
    assert messages.add("a2", "x" * (MOST_HELD - 10)) == []
    start, said = messages.add("a2", "y" * 20)
    assert start == TextStarted(apart=True)
    assert said == TextDelta("x" * (MOST_HELD - 10) + "y" * 20)
    assert messages.add("a2", "z") == [TextDelta("z")]


def test_messages_that_say_nothing_are_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oaicompat_proxy.dialects.ag_ui.messages.MOST_HELD", 10)
    messages = Messages()
    told = [len(messages.start(str(number), "assistant")) for number in range(14)]
    assert told == [1, *[0] * 10, 1, 1, 1]


PIECES = st.lists(st.text(max_size=3), max_size=4)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=4), st.randoms(use_true_random=False))
def test_interleaved_messages_are_told_one_by_one(texts: list[list[str]], chance: random.Random) -> None:
    messages, told = Messages(), list[Event]()
    began: list[int] = []
    waiting = [
        (number, [("start", ""), *(("add", piece) for piece in pieces), ("end", "")])
        for number, pieces in enumerate(texts)
    ]
    while waiting:
        number, steps = chance.choice(waiting)
        step, piece = steps.pop(0)
        waiting = [each for each in waiting if each[1]]
        if step == "start":
            began.append(number)
            told += messages.start(str(number), "assistant")
        elif step == "add":
            told += messages.add(str(number), piece)
        else:
            told += messages.end(str(number))
    assert "".join(event.text if isinstance(event, TextDelta) else "|" for event in told) == "".join(
        "|" + "".join(texts[number]) for number in began
    )
