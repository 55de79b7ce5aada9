import json
from typing import Any

import pytest
from checker import check_body

from oaicompat_proxy.api.openai.chat.collector import Collector
from oaicompat_proxy.core.answer import (
    Annotations,
    Chunk,
    Content,
    Envelope,
    Finish,
    Reasoning,
    Role,
    ToolCallArguments,
    ToolCallHead,
    UrlCitation,
    UsageReport,
)

ENVELOPE = Envelope("chatcmpl-1", 1790000000, "owl")
CALLS: list[Chunk] = [
    ToolCallHead(0, "c1", "tide"),
    ToolCallArguments(0, '{"port"'),
    ToolCallArguments(0, ':"Brest"}'),
    ToolCallHead(1, "c2", "moon"),
    ToolCallArguments(1, "{}"),
]
TIDE = {"name": "tide", "arguments": '{"port":"Brest"}'}
MOON = {"name": "moon", "arguments": "{}"}
TOOL_CALLS = [{"id": "c1", "type": "function", "function": TIDE}, {"id": "c2", "type": "function", "function": MOON}]


def collect(*chunks: Chunk, reasoning_field: str = "reasoning_content", legacy_functions: bool = False) -> bytes:
    collector = Collector(ENVELOPE, reasoning_field=reasoning_field, legacy_functions=legacy_functions)
    for chunk in chunks:
        collector.add(chunk)
    return collector.body()


def choice_of(raw: bytes) -> dict[str, Any]:
    [choice] = json.loads(raw)["choices"]
    return choice  # type: ignore[no-any-return]


def test_a_whole_answer_byte_for_byte() -> None:
    raw = collect(Role(), Content("Grüß"), Content(" dich\u2028"), Finish("stop"), UsageReport(4, 2, 6))
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


MESSAGES: list[tuple[str, list[Chunk], dict[str, Any]]] = [
    ("nothing said is an empty text", [], {"content": ""}),
    ("text", [Content("a"), Content("b")], {"content": "ab"}),
    ("calls without text", CALLS, {"content": None, "tool_calls": TOOL_CALLS}),
    ("calls beside text", [Content("Look."), *CALLS], {"content": "Look.", "tool_calls": TOOL_CALLS}),
    ("reasoning", [Reasoning("H"), Reasoning("m"), Content("a")], {"content": "a", "reasoning_content": "Hm"}),
]


@pytest.mark.parametrize(("chunks", "message"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES])
def test_pieces_become_a_message(chunks: list[Chunk], message: dict[str, Any]) -> None:
    raw = collect(Role(), *chunks, Finish("tool_calls" if "tool_calls" in message else "stop"))
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
    raw = collect(Role(), Reasoning("Hm"), Content("a"), Finish("stop"), reasoning_field=reasoning_field)
    check_body(raw, reasoning_field=reasoning_field)
    message = choice_of(raw)["message"]
    assert {name: value for name, value in message.items() if name.startswith("reasoning")} == fields


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_the_finish_reason_is_the_chunks(reason: str) -> None:
    assert choice_of(collect(Role(), Finish(reason)))["finish_reason"] == reason


def test_a_client_of_functions_gets_the_first_call() -> None:
    raw = collect(Role(), *CALLS, Finish("tool_calls"), legacy_functions=True)
    assert check_body(raw).function_call == ("tide", '{"port":"Brest"}')
    choice = choice_of(raw)
    assert (choice["finish_reason"], choice["message"]["function_call"]) == ("function_call", TIDE)
    assert "tool_calls" not in choice["message"]


def test_citations_are_the_annotations() -> None:
    citation = UrlCitation("https://tides.example", "Tides", 0, 2)
    raw = collect(Role(), Content("06"), Annotations((citation,)), Finish("stop"))
    check_body(raw)
    assert choice_of(raw)["message"]["annotations"] == [citation.body()]


def test_usage_that_is_unknown_is_not_invented() -> None:
    assert "usage" not in json.loads(collect(Role(), Finish("stop")))


def test_usage_has_the_details_that_are_known() -> None:
    usage = json.loads(collect(Role(), Finish("stop"), UsageReport(4, 2, 6, 1, 0)))["usage"]
    assert usage == {
        "prompt_tokens": 4,
        "completion_tokens": 2,
        "total_tokens": 6,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
