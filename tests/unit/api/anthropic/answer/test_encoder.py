"""The stream: its first and last events, keep-alives, failures, and what it counts."""

import pytest

from oaicompat_proxy.api.anthropic.answer.encoder import MessageEncoder
from oaicompat_proxy.core.answer import AnswerFinished, AnswerStarted, FinishReason, TextPart, UsageTotals
from oaicompat_proxy.core.errors import AgentError, AgentOverloaded
from tests.support.message_parts import ENVELOPE, OPTIONS, STOP, answer, batch, events, stream
from tests.support.messages_conformance import check_message_stream


def test_the_events_of_an_answer() -> None:
    raw = stream(batch("Hi", " there"), STOP, UsageTotals(10, 2, 12, 1, 4))
    assert [event["type"] for event in events(raw)] == [
        *("message_start", "content_block_start", "content_block_delta", "content_block_delta"),
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    assert raw.startswith(b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_c1",')


def test_usage_is_that_of_the_whole_run_without_what_a_cache_holds() -> None:
    assert answer(TextPart("Hi"), STOP, UsageTotals(10, 2, 12, 1, 4)).usage == {
        "input_tokens": 6,
        "cache_read_input_tokens": 4,
        "output_tokens": 2,
        "output_tokens_details": {"thinking_tokens": 1},
    }
    assert answer(TextPart("Hi"), STOP, UsageTotals(10, 2, 12, None, 4, 5)).usage == {
        "input_tokens": 1,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 4,
        "output_tokens": 2,
    }
    assert answer(TextPart("Hi"), STOP).usage == {"input_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        *((FinishReason.STOP, "end_turn"), (FinishReason.LENGTH, "max_tokens")),
        (FinishReason.CONTENT_FILTER, "refusal"),
    ],
)
def test_the_reason_of_the_end(reason: FinishReason, word: str) -> None:
    assert answer(TextPart("Hi"), AnswerFinished(reason)).stop_reason == word


def test_an_answer_without_content() -> None:
    assert answer(STOP).content == []


def test_a_failure_is_an_error_event_behind_message_start() -> None:
    failed = check_message_stream(stream(TextPart("Hi"), failure=AgentError("The agent failed.")))
    assert failed.error == {"type": "api_error", "message": "The agent failed."}
    encoder = MessageEncoder(ENVELOPE, OPTIONS)
    first = check_message_stream(encoder.fail(AgentOverloaded("Busy.")))
    assert first.error == {"type": "overloaded_error", "message": "Busy."}


def test_a_keep_alive_fits_anywhere_and_is_not_counted() -> None:
    encoder = MessageEncoder(ENVELOPE, OPTIONS)
    pieces = [encoder.ping()]
    for part in (AnswerStarted(), TextPart("Hi"), STOP):
        pieces += [encoder.encode(part), encoder.ping()]
    understood = check_message_stream(b"".join([*pieces, encoder.end()]))
    assert (understood.text, understood.pings) == ("Hi", 4)
    assert encoder.chunks == 6


def test_text_is_safe_for_every_reader_of_lines() -> None:
    assert answer(TextPart("a\u2028b\x85c\ud83c"), STOP).text == "a\u2028b\x85c\ufffd"
