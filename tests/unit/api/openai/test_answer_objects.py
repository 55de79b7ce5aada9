"""The objects that Chat Completions and Completions share, and the parts that neither shows."""

from __future__ import annotations

import pytest

from oaicompat_proxy.api.openai.answer_objects import encode_citation, encode_usage
from oaicompat_proxy.api.openai.chat.encoder import ChunkEncoder
from oaicompat_proxy.api.openai.completions.encoder import CompletionEncoder
from oaicompat_proxy.core.answer import AgentToolCalled, AgentToolReturned, Envelope, Part, UrlCitation, UsageTotals

ENVELOPE = Envelope("answer-1", 1790000000, "owl")
AGENT_PARTS: list[Part] = [AgentToolCalled("c1", "search", "{}", "child"), AgentToolReturned("c1", "3 papers", None)]


@pytest.mark.parametrize(
    ("totals", "details"),
    [
        (UsageTotals(4, 2, 6), {}),
        (UsageTotals(4, 2, 6, 1), {"completion_tokens_details": {"reasoning_tokens": 1}}),
        (UsageTotals(4, 2, 6, None, 0), {"prompt_tokens_details": {"cached_tokens": 0}}),
        (UsageTotals(4, 2, 6, None, 1, 3), {"prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 3}}),
    ],
)
def test_usage_has_the_known_details(totals: UsageTotals, details: dict[str, object]) -> None:
    assert encode_usage(totals) == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6, **details}


def test_a_citation_is_an_annotation() -> None:
    assert encode_citation(UrlCitation("https://tides.example", "Tides", 3, 7)) == {
        "type": "url_citation",
        "url_citation": {"start_index": 3, "end_index": 7, "url": "https://tides.example", "title": "Tides"},
    }


@pytest.mark.parametrize("part", AGENT_PARTS, ids=lambda part: type(part).__name__)
def test_the_agents_own_tool_calls_are_not_shown(part: Part) -> None:
    chat = ChunkEncoder(ENVELOPE, include_usage=False, reasoning_field="both")
    completions = CompletionEncoder(ENVELOPE, include_usage=False, echo="")
    assert (chat.encode(part), completions.encode(part)) == (b"", b"")
    assert (chat.chunks, completions.chunks) == (0, 0)
