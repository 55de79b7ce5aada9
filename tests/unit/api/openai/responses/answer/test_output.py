"""Which items an answer has."""

import pytest

from oaicompat_proxy.api.openai.responses.answer.output import OutputOptions
from oaicompat_proxy.core.answer import (
    AgentToolCalled,
    AgentToolReturned,
    Annotations,
    AnswerFinished,
    FinishReason,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
    UrlCitation,
    UsageTotals,
)
from oaicompat_proxy.core.errors import AgentError
from tests.support.response_parts import QUESTION, STOP, answer, events, kinds, stream
from tests.support.responses_conformance import check_response_stream


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
    received = check_response_stream(raw)
    assert (received.reasoning, received.text) == ("Look up the tide.", "One moment.")
    assert received.calls == [("call_c1", "tide", '{"port":"Brest"}')]
    assert received.usage == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 18,
        "output_tokens_details": {"reasoning_tokens": 6},
        "total_tokens": 38,
    }


def test_usage_has_what_was_written_to_a_cache() -> None:
    received = answer(TextPart("Hi"), STOP, UsageTotals(20, 18, 38, cached_tokens=3, cache_write_tokens=2))
    assert received.usage["input_tokens_details"] == {"cached_tokens": 3, "cache_write_tokens": 2}


def test_an_agent_that_says_nothing_sends_an_empty_message() -> None:
    received = answer(STOP)
    assert [item["type"] for item in received.response["output"]] == ["message"]
    assert received.text == ""


@pytest.mark.parametrize(
    ("reason", "word"),
    [(FinishReason.LENGTH, "max_output_tokens"), (FinishReason.CONTENT_FILTER, "content_filter")],
)
def test_an_answer_that_was_cut(reason: FinishReason, word: str) -> None:
    received = answer(TextPart("Once"), AnswerFinished(reason), UsageTotals(1, 2, 3))
    assert (received.status, received.incomplete_reason) == ("incomplete", word)
    assert received.response["output"][0]["status"] == "incomplete"


def test_an_answer_of_reasoning_alone_has_a_message_all_the_same() -> None:
    received = answer(ReasoningPart("Hm."), STOP)
    assert [item["type"] for item in received.response["output"]] == ["reasoning", "message"]
    assert (received.reasoning, received.text) == ("Hm.", "")


def test_reasoning_that_was_cut_has_none() -> None:
    received = answer(ReasoningPart("Hm"), AnswerFinished(FinishReason.LENGTH))
    assert [item["type"] for item in received.response["output"]] == ["reasoning"]
    assert received.status == "incomplete"


def test_a_call_that_was_cut_is_incomplete() -> None:
    parts = (ToolCallOpened(0, "c", "tide"), ToolCallArguments(0, '{"por'), AnswerFinished(FinishReason.LENGTH))
    received = answer(*parts)
    assert received.response["output"][0]["status"] == "incomplete"
    assert received.calls == [("c", "tide", '{"por')]


def test_calls_reasoning_and_text_by_turns_are_items_one_after_another() -> None:
    received = answer(
        TextPart("a"),
        ReasoningPart("b"),
        TextPart("c"),
        ToolCallOpened(0, "c1", "tide"),
        ToolCallArguments(0, "{}"),
        ToolCallOpened(1, "c2", "tide"),
        ToolCallArguments(1, "{}"),
        AnswerFinished(FinishReason.TOOL_CALLS),
    )
    kinds_of_items = [item["type"] for item in received.response["output"]]
    assert kinds_of_items == ["message", "reasoning", "message", "function_call", "function_call"]
    assert received.text == "ac"


def test_tools_of_the_agent_may_be_open_beside_each_other() -> None:
    received = answer(
        AgentToolCalled("a", "add", "{}"),
        AgentToolCalled("b", "sub", "{}", agent="helper"),
        TextPart("x"),
        AgentToolReturned("b", "2"),
        AgentToolReturned("a", "", error="broken"),
        TextPart("y"),
        STOP,
    )
    first, second = received.agent_calls
    assert (first["error"], second["output"], second["server_label"]) == (
        {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "broken"}]},
        "2",
        "owl/helper",
    )
    assert received.text == "xy"


CITED = (UrlCitation("https://a.example", "A", 0, 2), UrlCitation("https://b.example", "B", 2, 3))


def test_positions_of_sources_count_characters_of_their_message() -> None:
    """Code points: neither bytes nor the pairs of UTF-16."""
    received = answer(TextPart("x"), ReasoningPart("r"), TextPart("🌊é"), Annotations(CITED), STOP)
    (first, second) = received.annotations
    assert (first["start_index"], first["end_index"]) == (0, 1)
    assert (second["start_index"], second["end_index"]) == (1, 2)
    assert (first["title"], first["type"]) == ("A", "url_citation")


@pytest.mark.parametrize(
    "behind",
    [
        (ReasoningPart("r"),),
        (AgentToolCalled("a", "add", "{}"), AgentToolReturned("a", "2")),
        (ToolCallOpened(0, "c", "tide"), ToolCallArguments(0, "{}")),
        (ToolCallOpened(0, "confirm_a", "confirm_tool_call"), ToolCallArguments(0, QUESTION)),
    ],
    ids=["reasoning", "agent's tool", "call", "approval"],
)
def test_sources_behind_the_last_message_are_in_the_whole_response(behind: tuple[Part, ...]) -> None:
    """An empty message for them would be taken for the answer by clients that read the last one."""
    options = OutputOptions("owl", question_tool="confirm_tool_call")
    received = answer(TextPart("abcd"), *behind, Annotations(CITED), STOP, options=options)
    messages = [item for item in received.response["output"] if item["type"] == "message"]
    assert [message["content"][0]["text"] for message in messages] == ["abcd"]
    assert [each["url"] for each in received.annotations] == [each.url for each in CITED]


def test_sources_stand_in_their_message_where_a_call_follows() -> None:
    call = ToolCallOpened(0, "c", "tide"), ToolCallArguments(0, "{}")
    raw = stream(TextPart("abcd"), Annotations(CITED), *call, AnswerFinished(FinishReason.TOOL_CALLS))
    answer = check_response_stream(raw)
    assert [each["url"] for each in answer.annotations] == [each.url for each in CITED]
    assert kinds(raw).index("output_text.annotation.added") < kinds(raw).index("output_text.done")


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (TextPart("Half"),),
        (ReasoningPart("r"),),
        (ToolCallOpened(0, "c", "tide"), ToolCallArguments(0, "{")),
        (AgentToolCalled("a", "add", "{}"),),
        (TextPart("x"), Annotations(CITED)),
    ],
)
def test_a_failure_is_an_error_and_a_response_that_failed(parts: tuple[Part, ...]) -> None:
    raw = stream(*parts, failure=AgentError("It broke."))
    assert kinds(raw)[-2:] == ["error", "failed"]
    error, failed = events(raw)[-2:]
    assert error["error"]["message"] == failed["response"]["error"]["message"] == "It broke."
    assert check_response_stream(raw).status == "failed"
