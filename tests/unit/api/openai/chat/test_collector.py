import json
from typing import Any

import pytest

from oaicompat_proxy.api.openai.answer_objects import encode_citation
from oaicompat_proxy.api.openai.chat.collector import Collector
from oaicompat_proxy.core.answer import (
    Annotations,
    AnswerFinished,
    AnswerStarted,
    Envelope,
    FinishReason,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
    UrlCitation,
    UsageTotals,
)
from tests.support.conformance import check_body

STOPPED = AnswerFinished(FinishReason.STOP)
CALLS_TOOLS = AnswerFinished(FinishReason.TOOL_CALLS)

ENVELOPE = Envelope("chatcmpl-1", 1790000000, "owl")
CALLS: list[Part] = [
    ToolCallOpened(0, "c1", "tide"),
    ToolCallArguments(0, '{"port"'),
    ToolCallArguments(0, ':"Brest"}'),
    ToolCallOpened(1, "c2", "moon"),
    ToolCallArguments(1, "{}"),
]
TIDE = {"name": "tide", "arguments": '{"port":"Brest"}'}
MOON = {"name": "moon", "arguments": "{}"}
TOOL_CALLS = [{"id": "c1", "type": "function", "function": TIDE}, {"id": "c2", "type": "function", "function": MOON}]


def collect(
    *chunks: Part,
    reasoning_field: str = "reasoning_content",
    legacy_functions: bool = False,
    custom_tools: frozenset[str] = frozenset(),
) -> bytes:
    collector = Collector(
        ENVELOPE, reasoning_field=reasoning_field, legacy_functions=legacy_functions, custom_tools=custom_tools
    )
    for chunk in chunks:
        collector.add(chunk)
    return collector.body()


def choice_of(raw: bytes) -> dict[str, Any]:
    [choice] = json.loads(raw)["choices"]
    return choice  # type: ignore[no-any-return]


def test_a_whole_answer_byte_for_byte() -> None:
    raw = collect(
        AnswerStarted(),
        TextPart("Grüß"),
        TextPart(" dich\u2028"),
        STOPPED,
        UsageTotals(4, 2, 6),
    )
    assert (
        raw
        == (
            '{"id":"chatcmpl-1","object":"chat.completion","created":1790000000,"model":"owl","choices":[{"index":0,'
            '"message":{"role":"assistant","content":"Grüß dich\\u2028","refusal":null,"annotations":[]},'
            '"logprobs":null,"finish_reason":"stop"}],'
            '"usage":{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}}'
        ).encode()
    )
    check_body(raw)


MESSAGES: list[tuple[str, list[Part], dict[str, Any]]] = [
    ("nothing said is an empty text", [], {"content": ""}),
    ("text", [TextPart("a"), TextPart("b")], {"content": "ab"}),
    ("calls without text", CALLS, {"content": None, "tool_calls": TOOL_CALLS}),
    ("calls beside text", [TextPart("Look."), *CALLS], {"content": "Look.", "tool_calls": TOOL_CALLS}),
    ("reasoning", [ReasoningPart("H"), ReasoningPart("m"), TextPart("a")], {"content": "a", "reasoning_content": "Hm"}),
]


@pytest.mark.parametrize(("chunks", "message"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES])
def test_pieces_become_a_message(chunks: list[Part], message: dict[str, Any]) -> None:
    raw = collect(
        AnswerStarted(),
        *chunks,
        CALLS_TOOLS if "tool_calls" in message else STOPPED,
    )
    check_body(raw)
    assert choice_of(raw)["message"] == {"role": "assistant", "refusal": None, "annotations": [], **message}


@pytest.mark.parametrize(
    ("reasoning_field", "fields"),
    [
        ("reasoning_content", {"reasoning_content": "Hm"}),
        ("reasoning", {"reasoning": "Hm"}),
        ("both", {"reasoning_content": "Hm", "reasoning": "Hm"}),
        ("none", {}),
    ],
)
def test_reasoning_goes_where_the_setting_says(reasoning_field: str, fields: dict[str, str]) -> None:
    raw = collect(
        AnswerStarted(),
        ReasoningPart("Hm"),
        TextPart("a"),
        STOPPED,
        reasoning_field=reasoning_field,
    )
    check_body(raw, reasoning_field=reasoning_field)
    message = choice_of(raw)["message"]
    assert {name: value for name, value in message.items() if name.startswith("reasoning")} == fields


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (FinishReason.STOP, "stop"),
        (FinishReason.LENGTH, "length"),
        (FinishReason.CONTENT_FILTER, "content_filter"),
    ],
)
def test_the_finish_reason_is_the_answers(reason: FinishReason, word: str) -> None:
    assert choice_of(collect(AnswerStarted(), AnswerFinished(reason)))["finish_reason"] == word


def test_a_client_of_functions_gets_the_first_call() -> None:
    raw = collect(AnswerStarted(), *CALLS, CALLS_TOOLS, legacy_functions=True)
    assert check_body(raw).function_call == ("tide", '{"port":"Brest"}')
    choice = choice_of(raw)
    assert (choice["finish_reason"], choice["message"]["function_call"]) == ("function_call", TIDE)
    assert "tool_calls" not in choice["message"]


def test_a_call_of_a_custom_tool_has_the_text_alone() -> None:
    """As the official clients read a body; the chunks of a stream know functions only."""
    calls = [ToolCallOpened(0, "c1", "poem"), ToolCallArguments(0, '{"input":"an '), ToolCallArguments(0, 'owl"}')]
    other = [ToolCallOpened(1, "c2", "moon"), ToolCallArguments(1, '{"input":"x"}')]
    raw = collect(AnswerStarted(), *calls, *other, CALLS_TOOLS, custom_tools=frozenset({"poem"}))
    assert check_body(raw).tool_calls == [("c1", "poem", "an owl"), ("c2", "moon", '{"input":"x"}')]
    assert choice_of(raw)["message"]["tool_calls"] == [
        {"id": "c1", "type": "custom", "custom": {"name": "poem", "input": "an owl"}},
        {"id": "c2", "type": "function", "function": {"name": "moon", "arguments": '{"input":"x"}'}},
    ]
    assert choice_of(raw)["finish_reason"] == "tool_calls"


def test_citations_are_the_annotations() -> None:
    citation = UrlCitation("https://tides.example", "Tides", 0, 2)
    raw = collect(AnswerStarted(), TextPart("06"), Annotations((citation,)), STOPPED)
    check_body(raw)
    assert choice_of(raw)["message"]["annotations"] == [encode_citation(citation)]


def test_citations_of_several_texts_are_one_list() -> None:
    cited = [UrlCitation("https://tides.example", "Tides", place, place + 2) for place in (0, 3)]
    parts = [TextPart("06 "), Annotations((cited[0],)), TextPart("12"), Annotations((cited[1],))]
    raw = collect(AnswerStarted(), *parts, STOPPED)
    assert choice_of(raw)["message"]["annotations"] == list(map(encode_citation, cited))


def test_usage_that_is_unknown_is_not_invented() -> None:
    assert "usage" not in json.loads(collect(AnswerStarted(), STOPPED))


def test_usage_has_the_details_that_are_known() -> None:
    usage = json.loads(collect(AnswerStarted(), STOPPED, UsageTotals(4, 2, 6, 1, 0)))["usage"]
    assert usage == {
        "prompt_tokens": 4,
        "completion_tokens": 2,
        "total_tokens": 6,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
