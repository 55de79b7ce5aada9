"""Both channels of an answer, the paragraphs in them, and citations."""

from __future__ import annotations

from oaicompat_proxy.core.answer import Annotations, ReasoningPart, TextBatch, TextPart, UrlCitation
from oaicompat_proxy.core.events import Citation, MessageCompleted, TextDeltas
from oaicompat_proxy.translation.answer_text import AnswerText
from oaicompat_proxy.translation.buffer_limit import BufferLimit


def completed(text: str = "", reasoning: str = "") -> MessageCompleted:
    return MessageCompleted(text, reasoning, "stop", None)


def test_texts_of_two_ticks_stand_apart() -> None:
    text = AnswerText("\n\n", BufferLimit())
    assert text.add_text("One.") == [TextPart("One.")]
    assert text.end_tick() == []
    assert text.add_text("Two") == [TextPart("\n\nTwo")]
    assert text.add_text(".") == [TextPart(".")]


def test_reasoning_is_a_channel_of_its_own() -> None:
    text = AnswerText("\n\n", BufferLimit())
    assert text.add_reasoning("Hm.") == [ReasoningPart("Hm.")]
    assert text.add_text("Yes.") == [TextPart("Yes.")]
    text.end_tick()
    assert text.add_reasoning("And?") == [ReasoningPart("\n\nAnd?")]


def test_several_deltas_go_out_as_they_are() -> None:
    text = AnswerText("\n\n", BufferLimit())
    deltas = TextDeltas("a\tb", [b"a\\t", b"b"])
    assert not text.has_text
    assert text.add_batch(deltas) == [TextBatch("a\tb", [b"a\\t", b"b"])]
    assert text.has_text
    assert text.add_batch(deltas) == [TextBatch("a\tb", [b"a\\t", b"b"])]
    text.end_tick()
    assert text.add_batch(deltas) == [TextPart("\n\na\t"), TextBatch("b", [b"b"])]


def test_half_a_character_is_completed_before_several_deltas_follow() -> None:
    text = AnswerText("\n\n", BufferLimit())
    text.add_text("x")
    assert text.add_text("\ud83d") == []
    assert text.add_batch(TextDeltas("a", [b"a"])) == [TextPart("\ufffda")]


def test_a_copy_of_the_message_says_only_what_did_not_come_in_pieces() -> None:
    text = AnswerText("\n\n", BufferLimit())
    assert text.add_missing(completed("Hello.", "Hm.")) == [ReasoningPart("Hm."), TextPart("Hello.")]
    assert text.add_missing(completed("Hello.", "Hm.")) == []


def test_a_line_that_is_not_the_agents_does_not_count_as_its_words() -> None:
    text = AnswerText("\n\n", BufferLimit())
    assert text.add_narration("⟦tool⟧ add", in_content=True) == [TextPart("⟦tool⟧ add")]
    assert not text.has_text
    assert text.add_missing(completed("Hello.")) == [TextPart("\n\nHello.")]
    assert text.add_narration("⟦tool⟧ add", in_content=False) == [ReasoningPart("⟦tool⟧ add")]


def test_citations_are_placed_in_the_whole_text() -> None:
    text = AnswerText("\n\n", BufferLimit())
    text.add_text("First.")
    text.end_tick()
    text.start_block()
    text.add_text("See here")
    text.add_batch(TextDeltas(" and there", [b" and", b" there"]))
    start = len("First.\n\n") + 4
    cited = text.add_citations((Citation("https://example.org", "Example", 4, 8),))
    assert cited == [Annotations((UrlCitation("https://example.org", "Example", start, start + 4),))]
    assert text.end() == []


def test_a_citation_without_text_waits_for_the_end() -> None:
    """It alone does not begin an answer, which may still fail with a status."""
    text = AnswerText("\n\n", BufferLimit())
    assert text.add_citations((Citation("u", "t", 0, 8),)) == []
    assert text.end() == [Annotations((UrlCitation("u", "t", 0, 0),))]


def test_the_close_brings_what_was_still_waiting() -> None:
    text = AnswerText("\n\n", BufferLimit())
    text.add_text("x\ud83d")
    assert text.end() == [TextPart("\ufffd")]


def test_a_block_that_begins_with_several_deltas_is_cited_in_its_place() -> None:
    text = AnswerText("\n\n", BufferLimit())
    text.add_text("One.")
    text.start_block()
    text.add_batch(TextDeltas("Two!", [b"Two", b"!"]))
    assert text.add_citations((Citation("u", "t", 0, 3),)) == [Annotations((UrlCitation("u", "t", 4, 7),))]


def test_two_messages_of_one_tick_stand_apart_and_so_do_two_thoughts() -> None:
    text = AnswerText("\n\n", BufferLimit())
    assert text.start_block(new_message=True) == []
    text.add_text("One\ud83d")
    assert text.start_block(new_message=True) == [TextPart("\ufffd")]
    assert text.add_text("Two") == [TextPart("\n\nTwo")]
    assert text.start_block() == []
    assert text.add_text(".") == [TextPart(".")]
    text.add_reasoning("Hm\ud83d")
    assert text.start_reasoning() == [ReasoningPart("\ufffd")]
    assert text.start_reasoning() == []
    assert text.add_reasoning("So.") == [ReasoningPart("\n\nSo.")]


def test_half_a_character_counts_in_the_places_behind_it() -> None:
    text = AnswerText("\n\n", BufferLimit())
    text.add_text("One\ud83d")
    text.start_block(new_message=True)
    text.add_text("Two")
    start = len("One?\n\n")
    cited = text.add_citations((Citation("https://example.org", "Example", 0, 3),))
    assert cited == [Annotations((UrlCitation("https://example.org", "Example", start, start + 3),))]
