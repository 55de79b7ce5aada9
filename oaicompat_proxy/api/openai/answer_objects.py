"""JSON objects of an answer that Chat Completions and the older Completions share.

Source: OpenAI API description, `CompletionUsage` and `ChatCompletionResponseMessage.annotations`.
"""

from __future__ import annotations

from typing import Any

from ...core.answer import UrlCitation, UsageTotals


def encode_usage(usage: UsageTotals) -> dict[str, Any]:
    """The `usage` object, with the details that are known."""
    body: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.cache_write_tokens is not None:
        body.setdefault("prompt_tokens_details", {})["cache_write_tokens"] = usage.cache_write_tokens
    if usage.reasoning_tokens is not None:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body


def encode_citation(citation: UrlCitation) -> dict[str, Any]:
    """One object of a message's `annotations`."""
    return {
        "type": "url_citation",
        "url_citation": {
            "start_index": citation.start,
            "end_index": citation.end,
            "url": citation.url,
            "title": citation.title,
        },
    }
