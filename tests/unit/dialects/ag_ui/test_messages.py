"""One text after the other, however the messages come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.core.events import Event, TextDelta, TextStarted
from oaicompat_proxy.dialects.ag_ui import messages as ag_ui_messages
from oaicompat_proxy.dialects.ag_ui.chunks import ChunkStreams
from oaicompat_proxy.dialects.ag_ui.messages import MAX_BUFFERED, Messages


def new_messages() -> Messages:
    return Messages(
        lambda is_another: [TextStarted(is_another)], TextDelta, ChunkStreams("TEXT_MESSAGE_CHUNK", "messageId", "role")
    )


def test_a_message_flows_as_it_comes() -> None:
    messages = new_messages()
    assert messages.start("a1") == [TextStarted(new_message=True)]
    assert messages.add("a1", "Hi") == [TextDelta("Hi")]
    assert messages.end("a1") == []


def test_a_hidden_message_says_nothing_until_it_ends() -> None:
    messages = new_messages()
    assert messages.start("u1", hidden=True) == []
    assert messages.is_hidden("u1")
    assert messages.add("u1", "Hi") == []
    assert messages.end("u1") == []
    assert not messages.has_messages
    assert messages.add("u1", "Hi") == [TextStarted(new_message=True), TextDelta("Hi")]


def test_the_same_message_goes_on_where_it_was() -> None:
    messages = new_messages()
    events = [*messages.add_chunk("a1", "Six"), *messages.close_chunk("")]
    events += messages.add_chunk("a1", " bells")
    assert events == [
        TextStarted(new_message=True),
        TextDelta("Six"),
        TextStarted(new_message=False),
        TextDelta(" bells"),
    ]


def test_a_second_start_and_an_end_of_nothing_say_nothing() -> None:
    messages = new_messages()
    messages.start("a1")
    assert messages.start("a1") == []
    assert messages.end("a2") == []
    assert messages.close_chunk("") == []


def test_the_message_that_began_first_is_read_first() -> None:
    messages = new_messages()
    messages.start("a1")
    assert messages.add("a2", "Two") == []
    assert messages.add("a1", "One") == [TextDelta("One")]
    assert messages.end("a1") == [TextStarted(new_message=True), TextDelta("Two")]
    assert messages.add("a2", "!") == [TextDelta("!")]


def test_a_run_that_ends_lets_everybody_finish() -> None:
    messages = new_messages()
    for name in ("a1", "a2", "a3"):
        messages.add(name, name)
    start = TextStarted(new_message=True)
    assert messages.close() == [start, TextDelta("a2"), start, TextDelta("a3")]


def test_the_buffer_has_a_bound() -> None:
    messages = new_messages()
    messages.start("a1")
    assert messages.add("a2", "x" * (MAX_BUFFERED - 10)) == []
    start, events = messages.add("a2", "y" * 20)
    assert start == TextStarted(new_message=True)
    assert events == TextDelta("x" * (MAX_BUFFERED - 10) + "y" * 20)
    assert messages.add("a2", "z") == [TextDelta("z")]


def test_messages_that_say_nothing_are_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oaicompat_proxy.dialects.ag_ui.messages.MAX_BUFFERED", 10)
    messages = new_messages()
    counts = [len(messages.start(str(number))) for number in range(14)]
    assert counts == [1, *[0] * 10, 1, 1, 1]


def test_a_closed_message_that_is_opened_again_goes_on() -> None:
    messages = new_messages()
    events = [*messages.start("a1"), *messages.add("a1", "Six"), *messages.end("a1")]
    events += [*messages.start("a1"), *messages.add("a1", " bells"), *messages.end("a1")]
    assert events == [
        TextStarted(new_message=True),
        TextDelta("Six"),
        TextStarted(new_message=False),
        TextDelta(" bells"),
    ]


def test_a_sub_agent_that_goes_on_with_the_agents_own_message_is_refused() -> None:
    messages = new_messages()
    messages.start("a1")
    messages.start("s1", hidden=True)
    messages.check_owner("s1")
    messages.check_owner("unknown")
    with pytest.raises(UpstreamError, match="mark of a sub-agent"):
        messages.check_owner("a1")


def test_the_short_form_of_another_role_or_owner_is_hidden() -> None:
    messages = new_messages()
    assert messages.add_chunk("u1", "no", role="user") == []
    assert messages.add_chunk(None, "no") == []
    assert messages.add_chunk("s1", "no", owner="child") == []
    assert messages.add_chunk("a1", "Six") == [TextStarted(new_message=True), TextDelta("Six")]
    assert messages.add_chunk("s1", "no") == []
    assert messages.add_chunk(None, " bells", role="assistant") == [TextDelta(" bells")]
    with pytest.raises(UpstreamError, match="`role`"):
        messages.add_chunk(None, "no", role="user")


@pytest.mark.parametrize("hidden", [True, False])
def test_open_messages_are_bound(monkeypatch: pytest.MonkeyPatch, hidden: bool) -> None:
    monkeypatch.setattr(ag_ui_messages, "MAX_OPEN", 1000)
    messages = new_messages()
    for _ in range(10):
        messages.start("a1", hidden=hidden)
        messages.end("a1")
    for name in ("a1", "a2", "a3"):
        messages.start(name, hidden=hidden)
    with pytest.raises(UpstreamError, match="open messages"):
        messages.start("a4", hidden=hidden)


PIECES = st.lists(st.text(max_size=3), max_size=4)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=4), st.randoms(use_true_random=False))
def test_interleaved_messages_are_read_one_by_one(texts: list[list[str]], chance: random.Random) -> None:
    messages, events = new_messages(), list[Event]()
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
            events += messages.start(str(number))
        elif step == "add":
            events += messages.add(str(number), piece)
        else:
            events += messages.end(str(number))
    assert "".join(event.text if isinstance(event, TextDelta) else "|" for event in events) == "".join(
        "|" + "".join(texts[number]) for number in began
    )
