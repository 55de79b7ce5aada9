"""The bytes of each chunk: a parsed object cannot show `"delta":{}`, an absent field or the order of keys."""

import pytest

from oaicompat_proxy.api.openai.chat.encoder import ChunkEncoder, finish_reason
from oaicompat_proxy.core.answer import (
    Annotations,
    AnswerFinished,
    AnswerStarted,
    Envelope,
    FinishReason,
    Part,
    ReasoningPart,
    TextBatch,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
    UrlCitation,
    UsageTotals,
)
from oaicompat_proxy.core.sse import DONE
from tests.support.conformance import check_stream

CALLS_TOOLS = AnswerFinished(FinishReason.TOOL_CALLS)

ENVELOPE = Envelope("chatcmpl-1", 1790000000, 'o"w\u2028l')
SHARED = '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"o\\"w\\u2028l","choices":['


def new(
    *, include_usage: bool = False, reasoning_field: str = "reasoning_content", legacy_functions: bool = False
) -> ChunkEncoder:
    return ChunkEncoder(
        ENVELOPE,
        include_usage=include_usage,
        reasoning_field=reasoning_field,
        legacy_functions=legacy_functions,
    )


def framed(choices: str, usage: str = "") -> bytes:
    return f"data: {SHARED}{choices}]{usage}}}\n\n".encode()


def choice(delta: str, reason: str = "null") -> str:
    return f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}'


CITATION = '{"start_index":0,"end_index":2,"url":"https://a.example","title":"A"}'

DELTAS: list[tuple[Part, str]] = [
    (AnswerStarted(), '{"role":"assistant","content":"","refusal":null}'),
    (AnswerStarted(with_text=False), '{"role":"assistant","content":null,"refusal":null}'),
    (TextPart("Hi"), '{"content":"Hi"}'),
    (TextPart('"\n\u2028\x85\ud83c\U0001f30a'), '{"content":"\\"\\n\\u2028\\u0085\ufffd\U0001f30a"}'),
    (TextPart("data: [DONE]\n\n"), '{"content":"data: [DONE]\\n\\n"}'),
    (ReasoningPart("Hm"), '{"reasoning_content":"Hm"}'),
    (
        ToolCallOpened(0, "c1", "tide"),
        '{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"tide","arguments":""}}]}',
    ),
    (ToolCallArguments(1, '{"a"'), '{"tool_calls":[{"index":1,"function":{"arguments":"{\\"a\\""}}]}'),
]


@pytest.mark.parametrize(("chunk", "delta"), DELTAS)
def test_a_delta(chunk: Part, delta: str) -> None:
    assert new().encode(chunk) == framed(choice(delta))


@pytest.mark.parametrize(("chunk", "delta"), DELTAS)
@pytest.mark.parametrize("include_usage", [True, False])
def test_a_ping_says_nothing_and_does_not_count(chunk: Part, delta: str, include_usage: bool) -> None:
    encoder = new(include_usage=include_usage)
    usage = ',"usage":null' if include_usage else ""
    encoder.encode(chunk)
    empty = '{"reasoning_content":""}' if isinstance(chunk, ReasoningPart) else "{}"
    assert [encoder.ping() for _ in range(2)] == [framed(choice(empty), usage)] * 2
    assert encoder.chunks == 1


@pytest.mark.parametrize(
    ("field", "fields"),
    [("reasoning", ["reasoning"]), ("both", ["reasoning_content", "reasoning"]), ("none", [])],
)
def test_a_ping_keeps_the_block_of_reasoning_open_until_it_is_over(field: str, fields: list[str]) -> None:
    encoder = new(reasoning_field=field)
    empty = framed(choice("{" + ",".join(f'"{each}":""' for each in fields) + "}"))
    silent = framed(choice("{}"))
    assert encoder.ping() == silent
    for chunk, ping in [
        (AnswerStarted(), silent),
        (ReasoningPart("Hm"), empty),
        (TextBatch("Hi", [b"Hi"]), silent),
        (ReasoningPart("Hm"), empty),
        (ToolCallOpened(0, "c1", "tide"), silent),
    ]:
        encoder.encode(chunk)
        assert encoder.ping() == ping


@pytest.mark.parametrize(("chunk", "delta"), DELTAS)
def test_a_delta_where_usage_will_follow(chunk: Part, delta: str) -> None:
    assert new(include_usage=True).encode(chunk) == framed(choice(delta), ',"usage":null')


@pytest.mark.parametrize("reason", FinishReason)
def test_the_finish_says_nothing_but_why(reason: FinishReason) -> None:
    word = finish_reason(reason, legacy_functions=False)
    assert word in ("stop", "length", "content_filter", "tool_calls")
    assert new().encode(AnswerFinished(reason)) == framed(choice("{}", f'"{word}"'))
    assert new(include_usage=True).encode(AnswerFinished(reason)) == framed(choice("{}", f'"{word}"'), ',"usage":null')


@pytest.mark.parametrize(
    ("chunk", "usage"),
    [
        (UsageTotals(4, 2, 6), '{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}'),
        (
            UsageTotals(4, 2, 6, reasoning_tokens=0, cached_tokens=3),
            '{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6,'
            '"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":0}}',
        ),
    ],
)
def test_usage_has_no_choice_and_is_sent_only_if_asked_for(chunk: UsageTotals, usage: str) -> None:
    assert new(include_usage=True).encode(chunk) == framed("", f',"usage":{usage}')
    assert new().encode(chunk) == b""


@pytest.mark.parametrize(
    ("reasoning_field", "delta"),
    [
        ("reasoning_content", '{"reasoning_content":"Hm"}'),
        ("reasoning", '{"reasoning":"Hm"}'),
        ("both", '{"reasoning_content":"Hm","reasoning":"Hm"}'),
    ],
)
def test_reasoning_goes_where_the_setting_says(reasoning_field: str, delta: str) -> None:
    assert new(reasoning_field=reasoning_field).encode(ReasoningPart("Hm")) == framed(choice(delta))


def test_reasoning_may_be_kept_back() -> None:
    assert new(reasoning_field="none").encode(ReasoningPart("Hm")) == b""


LEGACY: list[tuple[Part, bytes]] = [
    (ToolCallOpened(0, "c1", "tide"), framed(choice('{"function_call":{"name":"tide","arguments":""}}'))),
    (ToolCallArguments(0, "{}"), framed(choice('{"function_call":{"arguments":"{}"}}'))),
    (ToolCallOpened(1, "c2", "moon"), b""),
    (ToolCallArguments(1, "{}"), b""),
    (CALLS_TOOLS, framed(choice("{}", '"function_call"'))),
    (AnswerFinished(FinishReason.LENGTH), framed(choice("{}", '"length"'))),
]


@pytest.mark.parametrize(("chunk", "expected"), LEGACY)
def test_a_client_of_functions_gets_one_function_call(chunk: Part, expected: bytes) -> None:
    assert new(legacy_functions=True).encode(chunk) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (FinishReason.TOOL_CALLS, "function_call"),
        (FinishReason.STOP, "stop"),
        (FinishReason.LENGTH, "length"),
        (FinishReason.CONTENT_FILTER, "content_filter"),
    ],
)
def test_a_client_of_functions_gets_its_reason(reason: FinishReason, expected: str) -> None:
    assert finish_reason(reason, legacy_functions=True) == expected


def test_citations_are_one_chunk_before_the_finish_reason() -> None:
    """The official helper cannot merge two lists."""
    encoder = new()
    cited = Annotations((UrlCitation("https://a.example", "A", 0, 2),))
    assert (encoder.encode(cited), encoder.encode(cited), encoder.chunks) == (b"", b"", 0)
    citation = f'{{"type":"url_citation","url_citation":{CITATION}}}'
    delta = f'{{"annotations":[{citation},{citation}]}}'
    assert encoder.encode(CALLS_TOOLS) == framed(choice(delta)) + framed(choice("{}", '"tool_calls"'))
    assert encoder.chunks == 2


def test_a_strict_client_takes_the_whole() -> None:
    calls: list[Part] = [ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, "{}")]
    annotations = Annotations((UrlCitation("https://a.example", "A", 0, 2),))
    chunks = [
        AnswerStarted(),
        ReasoningPart("Hm"),
        TextPart("Hi"),
        *calls,
        annotations,
        CALLS_TOOLS,
        UsageTotals(4, 2, 6),
    ]
    encoder = new(include_usage=True)
    answer = check_stream(b"".join(map(encoder.encode, chunks)) + DONE, include_usage=True)
    assert (answer.reasoning, answer.text, answer.tool_calls) == ("Hm", "Hi", [("c1", "tide", "{}")])
    assert (answer.id, answer.created, answer.model) == ENVELOPE
