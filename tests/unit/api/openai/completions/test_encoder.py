"""The older endpoint's objects: streamed piece by piece, and whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from openai.types import Completion

from oaicompat_proxy.api.openai.completions.encoder import CompletionCollector, CompletionEncoder
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
from tests.support.conformance import check_error_body

STOPPED = AnswerFinished(FinishReason.STOP)

ENVELOPE = Envelope("cmpl-1", 1790000000, "owl")
USAGE = UsageTotals(2, 5, 7)
LINE_ENDS_TO_SOME = ("\u2028", "\u2029", "\u0085", "\r")


@dataclass
class Read:
    """What a client of the older endpoint understood."""

    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    id: str | None = None
    created: int | None = None
    model: str | None = None
    pings: int = 0


def validated(completion: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """One object, by the official types in strict form and without a field that they do not know.

    They have one type for both forms, in which only a whole answer's `finish_reason` is right: null is checked here.
    """
    fitted = json.loads(json.dumps(completion))
    for choice in fitted["choices"]:
        if not whole and choice["finish_reason"] is None:
            choice["finish_reason"] = "stop"
    parsed = Completion.model_validate(fitted, strict=True)
    for known in [parsed, *parsed.choices, *([parsed.usage] if parsed.usage else [])]:
        assert not known.model_extra, f"fields that are not OpenAI's: {known.model_extra}"
    for choice in completion["choices"]:
        assert choice.keys() == {"text", "index", "logprobs", "finish_reason"}
        assert (choice["index"], choice["logprobs"]) == (0, None)
    assert type(completion["created"]) is int
    return completion


def read_body(raw: bytes) -> Read:
    """The body of a whole answer, checked."""
    check_characters(raw)
    body = validated(json.loads(raw), whole=True)
    (choice,) = body["choices"]
    assert body.keys() - {"usage"} == {"id", "object", "created", "model", "choices"}
    return Read(
        choice["text"], choice["finish_reason"], body.get("usage"), None, body["id"], body["created"], body["model"]
    )


def read_stream(raw: bytes, *, include_usage: bool) -> Read:
    """A whole stream, checked: one `data:` line an event, one finish, one ending."""
    check_characters(raw)
    assert raw.endswith(b"\n\n")
    events = [event for event in raw.decode().removesuffix("\n\n").split("\n\n") if not event.startswith(":")]
    assert events.pop() == "data: [DONE]"
    read = Read()
    for event in events:
        assert event.startswith("data: ")
        assert "\n" not in event
        take(json.loads(event.removeprefix("data: ")), read, include_usage)
    assert (read.error is None) != (read.finish_reason is None)
    return read


def take(completion: dict[str, Any], read: Read, include_usage: bool) -> None:
    assert read.error is None, "something follows the error"
    assert read.usage is None, "something follows the usage"
    if "error" in completion:
        assert read.finish_reason is None
        read.error = check_error_body(json.dumps(completion).encode())
        return
    validated(completion, whole=False)
    keys = {"id", "object", "created", "model", "choices", *(["usage"] if include_usage else [])}
    assert completion.keys() == keys
    if read.id is None:
        read.id, read.created, read.model = completion["id"], completion["created"], completion["model"]
    assert (completion["id"], completion["created"], completion["model"]) == (read.id, read.created, read.model)
    if read.finish_reason is not None:
        assert completion["choices"] == []
        read.usage = completion["usage"]
        assert read.usage is not None
        return
    assert completion.get("usage") is None, "usage before the end"
    (choice,) = completion["choices"]
    read.pings += not (choice["text"] or choice["finish_reason"])
    read.text += choice["text"]
    read.finish_reason = choice["finish_reason"]


def check_characters(raw: bytes) -> None:
    for character in LINE_ENDS_TO_SOME:
        assert character.encode() not in raw


def streamed(*chunks: Part, include_usage: bool = False, echo: str = "") -> bytes:
    encoder = CompletionEncoder(ENVELOPE, include_usage=include_usage, echo=echo)
    return b"".join(map(encoder.encode, chunks)) + b"data: [DONE]\n\n"


def collected(*chunks: Part, echo: str = "") -> bytes:
    collector = CompletionCollector(ENVELOPE, echo=echo)
    for chunk in chunks:
        collector.add(chunk)
    return collector.body()


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_ping_is_an_empty_piece_of_text_that_does_not_count(include_usage: bool) -> None:
    encoder = CompletionEncoder(ENVELOPE, include_usage=include_usage, echo="An owl")
    raw = encoder.ping() + encoder.encode(TextPart("Hu")) + encoder.ping()
    assert encoder.chunks == 1
    read = read_stream(raw + encoder.encode(STOPPED) + b"data: [DONE]\n\n", include_usage=include_usage)
    assert (read.text, read.pings) == ("Hu", 2)


ANSWER: list[Part] = [
    AnswerStarted(),
    TextPart(" flies"),
    TextPart(" by night."),
    STOPPED,
    USAGE,
]

NOT_SHOWN: list[Part] = [
    ReasoningPart("Let me think."),
    ToolCallOpened(0, "call_1", "look_up"),
    ToolCallArguments(0, "{}"),
    Annotations((UrlCitation("https://owls.example", "Owls", 0, 1),)),
]


def test_a_stream_is_byte_for_byte_the_documented_one() -> None:
    head = '{"id":"cmpl-1","object":"text_completion","created":1790000000,"model":"owl","choices":['
    assert streamed(*ANSWER, include_usage=True).decode().split("\n\n") == [
        f'data: {head}{{"text":" flies","index":0,"logprobs":null,"finish_reason":null}}],"usage":null}}',
        f'data: {head}{{"text":" by night.","index":0,"logprobs":null,"finish_reason":null}}],"usage":null}}',
        f'data: {head}{{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}}],"usage":null}}',
        f'data: {head}],"usage":{{"prompt_tokens":2,"completion_tokens":5,"total_tokens":7}}}}',
        "data: [DONE]",
        "",
    ]


def test_a_whole_answer_is_byte_for_byte_the_documented_one() -> None:
    assert collected(*ANSWER).decode() == (
        '{"id":"cmpl-1","object":"text_completion","created":1790000000,"model":"owl",'
        '"choices":[{"text":" flies by night.","index":0,"logprobs":null,"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":2,"completion_tokens":5,"total_tokens":7}}'
    )


@pytest.mark.parametrize("include_usage", [True, False])
@pytest.mark.parametrize("echo", ["", "An owl"])
@pytest.mark.parametrize(
    "chunks",
    [ANSWER, ANSWER[:-1], [*ANSWER[:1], *NOT_SHOWN, *ANSWER[1:]], [AnswerStarted(), STOPPED]],
)
def test_both_forms_are_valid_and_agree(chunks: list[Part], echo: str, include_usage: bool) -> None:
    stream = read_stream(streamed(*chunks, include_usage=include_usage, echo=echo), include_usage=include_usage)
    whole = read_body(collected(*chunks, echo=echo))
    if not include_usage:
        whole.usage = None
    assert stream == whole


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (FinishReason.STOP, "stop"),
        (FinishReason.LENGTH, "length"),
        (FinishReason.CONTENT_FILTER, "content_filter"),
        (FinishReason.TOOL_CALLS, "stop"),
    ],
)
def test_a_finish_reason_is_one_that_this_endpoint_knows(reason: FinishReason, shown: str) -> None:
    chunks: list[Part] = [AnswerStarted(), TextPart("Owls"), AnswerFinished(reason)]
    assert read_stream(streamed(*chunks), include_usage=False).finish_reason == shown
    assert read_body(collected(*chunks)).finish_reason == shown


@pytest.mark.parametrize("chunk", NOT_SHOWN, ids=lambda chunk: type(chunk).__name__)
def test_what_the_endpoint_does_not_know_is_not_shown(chunk: Part) -> None:
    assert streamed(chunk) == streamed()
    assert read_body(collected(AnswerStarted(), chunk, TextPart("Owls"), STOPPED)).text == "Owls"


def test_the_role_is_not_shown_but_is_the_place_of_the_echo() -> None:
    assert streamed(AnswerStarted()) == streamed()
    assert b'"text":"An owl"' in streamed(AnswerStarted(), echo="An owl")


def test_the_echo_comes_once_and_first() -> None:
    stream = streamed(*ANSWER, echo="An owl")
    assert stream.count(b"An owl") == 1
    assert read_stream(stream, include_usage=False).text == "An owl flies by night."
    assert read_body(collected(*ANSWER, echo="An owl")).text == "An owl flies by night."


def test_usage_that_nobody_asked_for_is_no_event() -> None:
    assert b"usage" not in streamed(*ANSWER)


def test_usage_has_its_details() -> None:
    chunks = [*ANSWER[:-1], UsageTotals(2, 5, 7, 3, 1)]
    for read in (read_stream(streamed(*chunks, include_usage=True), include_usage=True), read_body(collected(*chunks))):
        assert read.usage == {
            "prompt_tokens": 2,
            "completion_tokens": 5,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 3},
        }


def test_an_unknown_usage_is_not_invented() -> None:
    assert read_stream(streamed(*ANSWER[:-1], include_usage=True), include_usage=True).usage is None
    assert read_body(collected(*ANSWER[:-1])).usage is None


@pytest.mark.parametrize(
    "text", ["a\u2028b", "a\u2029b", "a\u0085b", "a\r\nb", '"\\', "\x00\x1f", "🦉", "</script>", "\ud83e"]
)
def test_any_text_goes_out_safe_and_comes_back_the_same(text: str) -> None:
    expected = text.replace("\ud83e", "\ufffd")
    chunks: list[Part] = [AnswerStarted(), TextPart(text), STOPPED]
    assert read_stream(streamed(*chunks, echo=text), include_usage=False).text == expected * 2
    assert read_body(collected(*chunks, echo=text)).text == expected * 2
