"""What the answer says: both channels, their pauses, and what the text refers to."""

from __future__ import annotations

from oaicompat_proxy.core.answer import Annotations, ReasoningPart, TextBatch, TextPart, UrlCitation
from oaicompat_proxy.core.events import Citation, MessageCompleted, TextDeltas
from oaicompat_proxy.translation.answer_text import Speech
from oaicompat_proxy.translation.held import Held


def completed(text: str = "", reasoning: str = "") -> MessageCompleted:
    return MessageCompleted(text, reasoning, "stop", None)


def test_texts_of_two_ticks_stand_apart() -> None:
    speech = Speech("\n\n", Held())
    assert speech.say("One.") == [TextPart("One.")]
    assert speech.end_tick() == []
    assert speech.say("Two") == [TextPart("\n\nTwo")]
    assert speech.say(".") == [TextPart(".")]


def test_reasoning_is_a_channel_of_its_own() -> None:
    speech = Speech("\n\n", Held())
    assert speech.think("Hm.") == [ReasoningPart("Hm.")]
    assert speech.say("Yes.") == [TextPart("Yes.")]
    speech.end_tick()
    assert speech.think("And?") == [ReasoningPart("\n\nAnd?")]


def test_several_deltas_go_out_as_they_are_unless_something_comes_before_them() -> None:
    speech = Speech("\n\n", Held())
    deltas = TextDeltas("a\tb", [b"a\\t", b"b"])
    assert not speech.said_anything
    assert speech.say_all(deltas) == [TextBatch("a\tb", [b"a\\t", b"b"])]
    assert speech.said_anything
    assert speech.say_all(deltas) == [TextBatch("a\tb", [b"a\\t", b"b"])]
    speech.end_tick()
    assert speech.say_all(deltas) == [TextPart("\n\na\t"), TextBatch("b", [b"b"])]


def test_half_a_character_is_completed_before_several_deltas_follow() -> None:
    speech = Speech("\n\n", Held())
    speech.say("x")
    assert speech.say("\ud83d") == []
    assert speech.say_all(TextDeltas("a", [b"a"])) == [TextPart("\ufffda")]


def test_a_copy_of_the_message_says_only_what_did_not_come_in_pieces() -> None:
    speech = Speech("\n\n", Held())
    assert speech.complete(completed("Hello.", "Hm.")) == [ReasoningPart("Hm."), TextPart("Hello.")]
    assert speech.complete(completed("Hello.", "Hm.")) == []


def test_a_line_that_is_not_the_agents_does_not_count_as_its_words() -> None:
    speech = Speech("\n\n", Held())
    assert speech.tell("⟦tool⟧ add", in_content=True) == [TextPart("⟦tool⟧ add")]
    assert not speech.said_anything
    assert speech.complete(completed("Hello.")) == [TextPart("\n\nHello.")]
    assert speech.tell("⟦tool⟧ add", in_content=False) == [ReasoningPart("⟦tool⟧ add")]


def test_citations_are_placed_in_the_whole_text() -> None:
    speech = Speech("\n\n", Held())
    speech.say("First.")
    speech.end_tick()
    speech.start_block()
    speech.say("See here")
    speech.say_all(TextDeltas(" and there", [b" and", b" there"]))
    speech.cite((Citation("https://example.org", "Example", 4, 8),))
    start = len("First.\n\n") + 4
    assert speech.close() == [Annotations((UrlCitation("https://example.org", "Example", start, start + 4),))]


def test_the_close_brings_what_was_still_waiting() -> None:
    speech = Speech("\n\n", Held())
    speech.say("x\ud83d")
    assert speech.close() == [TextPart("\ufffd")]


def test_a_block_that_begins_with_several_deltas_is_cited_in_its_place() -> None:
    speech = Speech("\n\n", Held())
    speech.say("One.")
    speech.start_block()
    speech.say_all(TextDeltas("Two!", [b"Two", b"!"]))
    speech.cite((Citation("u", "t", 0, 3),))
    assert speech.close() == [Annotations((UrlCitation("u", "t", 4, 7),))]


def test_two_messages_of_one_tick_stand_apart_and_so_do_two_thoughts() -> None:
    speech = Speech("\n\n", Held())
    assert speech.start_block(apart=True) == []
    speech.say("One\ud83d")
    assert speech.start_block(apart=True) == [TextPart("\ufffd")]
    assert speech.say("Two") == [TextPart("\n\nTwo")]
    assert speech.start_block() == []
    assert speech.say(".") == [TextPart(".")]
    speech.think("Hm\ud83d")
    assert speech.start_thought() == [ReasoningPart("\ufffd")]
    assert speech.start_thought() == []
    assert speech.think("So.") == [ReasoningPart("\n\nSo.")]


def test_half_a_character_at_the_end_of_a_message_counts_in_what_is_cited_behind_it() -> None:
    speech = Speech("\n\n", Held())
    speech.say("One\ud83d")
    speech.start_block(apart=True)
    speech.say("Two")
    speech.cite((Citation("https://example.org", "Example", 0, 3),))
    start = len("One?\n\n")
    assert speech.close() == [Annotations((UrlCitation("https://example.org", "Example", start, start + 3),))]
