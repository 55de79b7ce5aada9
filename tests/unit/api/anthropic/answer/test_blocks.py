"""Content blocks: which parts share one, in which order they stand, and what waits for the end of a call."""

import pytest

from oaicompat_proxy.api.anthropic.answer.blocks import TRUNCATED, BlockOptions, citation_object
from oaicompat_proxy.core.answer import (
    AgentToolCalled,
    AgentToolReturned,
    Annotations,
    ReasoningPart,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
    UrlCitation,
)
from oaicompat_proxy.core.errors import UpstreamAnswerTooLong
from tests.support.message_parts import CALLS, OPTIONS, STOP, answer, batch, body, events, stream

CALLED = AgentToolCalled("t1", "tide", '{"port": "Brest"}')
RETURNED = AgentToolReturned("t1", "06:12")
SOURCE = UrlCitation("https://tides.example/", "Almanac", 0, 3)


def test_text_is_one_block() -> None:
    assert answer(TextPart("Hi"), batch(" the", "re"), STOP).content == [{"type": "text", "text": "Hi there"}]


def test_thinking_is_signed_and_stands_apart() -> None:
    thinking, text = answer(ReasoningPart("Hm"), ReasoningPart("."), TextPart("Hi"), STOP).content
    assert thinking == {"type": "thinking", "thinking": "Hm.", "signature": OPTIONS.answer_id}
    assert text["text"] == "Hi"


def test_thinking_is_left_out_if_the_client_wants_none() -> None:
    hidden = BlockOptions("msg_c1", "owl", thinking=False)
    assert [each["type"] for each in answer(ReasoningPart("Hm"), TextPart("Hi"), STOP, options=hidden).content] == [
        "text"
    ]


def test_the_agents_own_call_is_whole_at_its_start() -> None:
    called, returned = answer(CALLED, RETURNED, STOP).content
    assert called == {
        "type": "mcp_tool_use",
        "id": "mcptoolu_c10001",
        "name": "tide",
        "server_name": "owl",
        "input": {"port": "Brest"},
    }
    assert returned == {
        "type": "mcp_tool_result",
        "tool_use_id": called["id"],
        "is_error": False,
        "content": [{"type": "text", "text": "06:12"}],
    }
    kinds = [event["type"] for event in events(stream(CALLED, RETURNED, STOP))]
    assert kinds[1:5] == ["content_block_start", "content_block_stop"] * 2


def test_a_failed_call_a_long_result_and_a_child_agent_are_marked() -> None:
    failed = [CALLED, AgentToolReturned("t1", "", "no such port")]
    long = [AgentToolCalled("t2", "moon", "{}", "child"), AgentToolReturned("t2", "a long", truncated=True)]
    _, error, child, result = answer(*failed, *long, STOP).content
    assert (error["is_error"], error["content"][0]["text"]) == (True, "no such port")
    assert child["server_name"] == "owl/child"
    assert result["content"][0]["text"] == "a long" + TRUNCATED


def test_a_result_without_a_call_is_not_shown() -> None:
    assert answer(RETURNED, TextPart("Hi"), STOP).text == "Hi"


def test_calls_of_the_client_follow_each_other() -> None:
    calls = [
        *(ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, '{"port":'), ToolCallArguments(0, '"Brest"}')),
        *(ToolCallOpened(1, "c2", "moon"), ToolCallArguments(1, "{}")),
    ]
    assert answer(TextPart("One moment."), *calls, CALLS).calls == [
        ("c1", "tide", {"port": "Brest"}),
        ("c2", "moon", {}),
    ]


def test_what_comes_within_a_call_waits_for_its_end() -> None:
    parts = [
        *(ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, '{"a"'), TextPart("Hi"), CALLED, RETURNED),
        *(TextPart(" there"), Annotations((SOURCE,)), ToolCallArguments(0, ":1}"), CALLS),
    ]
    kinds = [block["type"] for block in answer(*parts).content]
    assert kinds == ["tool_use", "text", "mcp_tool_use", "mcp_tool_result", "text"]
    assert answer(*parts).content[-1]["citations"] == [citation_object(SOURCE)]


def test_what_waits_is_bounded() -> None:
    narrow = BlockOptions("msg_c1", "owl", max_buffered=10)
    with pytest.raises(UpstreamAnswerTooLong):
        body(ToolCallOpened(0, "c1", "tide"), TextPart("12345"), TextPart("678901"), options=narrow)


def test_sources_are_citations_of_the_last_text() -> None:
    (text,) = answer(TextPart("Low"), Annotations((SOURCE,)), STOP).content
    assert text["citations"] == [citation_object(SOURCE)]
    assert "citations" not in str(answer(CALLED, RETURNED, Annotations((SOURCE,)), STOP).content)


def test_sources_stand_in_their_text_where_a_call_follows() -> None:
    call = ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, "{}")
    text, _ = answer(TextPart("Low"), Annotations((SOURCE,)), *call, CALLS).content
    assert text["citations"] == [citation_object(SOURCE)]


def test_sources_behind_the_end_of_a_text_stand_in_the_next() -> None:
    call = ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, "{}")
    first, _, second = answer(TextPart("Low"), *call, Annotations((SOURCE,)), TextPart("tide"), CALLS).content
    assert ("citations" in first, second["citations"]) == (False, [citation_object(SOURCE)])


@pytest.mark.parametrize("pieces", [["[1,", " 2]"], [" ", "\n[1, 2]"], ["[1, 2] "]])
def test_arguments_that_are_no_object_are_streamed_as_one(pieces: list[str]) -> None:
    """The official types of a call have an object, and clients send back what they got."""
    call = [ToolCallOpened(0, "c1", "tide"), *(ToolCallArguments(0, piece) for piece in pieces)]
    assert answer(*call, CALLS).calls == [("c1", "tide", {"arguments": [1, 2]})]


def test_arguments_that_are_an_object_are_streamed_as_they_come() -> None:
    pieces = [" ", '{"a"', ": 1", "}"]
    raw = stream(ToolCallOpened(0, "c1", "tide"), *(ToolCallArguments(0, piece) for piece in pieces), CALLS)
    deltas = [event["delta"] for event in events(raw) if event["type"] == "content_block_delta"]
    assert [delta["partial_json"] for delta in deltas] == [' {"a"', ": 1", "}"]


def test_arguments_that_wait_are_bounded() -> None:
    small = BlockOptions("msg_c1", "owl", max_buffered=10)
    call = [ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, "[1, 2, "), ToolCallArguments(0, "3, 4]")]
    with pytest.raises(UpstreamAnswerTooLong):
        stream(*call, CALLS, options=small)
