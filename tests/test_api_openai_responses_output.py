"""Which items an answer has."""

import pytest
from response_parts import STOP, answer, kinds, stream
from responses_checker import check_response_stream

from oaicompat_proxy.core.answer import (
    AnswerFinished,
    FinishReason,
    ReasoningPart,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
    UsageTotals,
)


def test_the_transcript_of_reasoning_text_and_a_call() -> None:
    raw = stream(
        ReasoningPart("Look up the tide."),
        TextPart("One moment."),
        ToolCallOpened(0, "call_c1", "tide"),
        ToolCallArguments(0, '{"port":"Brest"}'),
        AnswerFinished(FinishReason.TOOL_CALLS),
        UsageTotals(20, 18, 38, reasoning_tokens=6),
    )
    assert kinds(raw) == [
        *("created", "in_progress", "output_item.added", "reasoning_summary_part.added"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done"),
        *("output_item.done", "output_item.added", "content_part.added", "output_text.delta", "output_text.done"),
        *("content_part.done", "output_item.done", "output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done", "completed"),
    ]
    told = check_response_stream(raw)
    assert (told.reasoning, told.text) == ("Look up the tide.", "One moment.")
    assert told.calls == [("call_c1", "tide", '{"port":"Brest"}')]
    assert told.usage == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 18,
        "output_tokens_details": {"reasoning_tokens": 6},
        "total_tokens": 38,
    }


def test_an_agent_that_says_nothing_sends_an_empty_message() -> None:
    told = answer(STOP)
    assert [item["type"] for item in told.response["output"]] == ["message"]
    assert told.text == ""


@pytest.mark.parametrize(
    ("reason", "word"),
    [(FinishReason.LENGTH, "max_output_tokens"), (FinishReason.CONTENT_FILTER, "content_filter")],
)
def test_an_answer_that_was_cut(reason: FinishReason, word: str) -> None:
    told = answer(TextPart("Once"), AnswerFinished(reason), UsageTotals(1, 2, 3))
    assert (told.status, told.incomplete_reason) == ("incomplete", word)
    assert told.response["output"][0]["status"] == "incomplete"
