"""The message object of an answer, and its stop reasons.

Source: `api/anthropic/PROTOCOL.md`, "Message"; types of the `anthropic` package 2.14, `Message` and `Usage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.answer import Envelope, FinishReason, UsageTotals

STOP_REASONS: Mapping[FinishReason, str] = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}

UNKNOWN = UsageTotals(0, 0, 0)
"""The counts of an agent that reports none: clients require them."""


def message_object(
    envelope: Envelope, content: list[dict[str, Any]], stop_reason: str | None, usage: UsageTotals | None
) -> dict[str, Any]:
    return {
        "id": envelope.id,
        "type": "message",
        "role": "assistant",
        "model": envelope.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage_object(usage),
    }


def usage_object(usage: UsageTotals | None) -> dict[str, Any]:
    """The counts of the whole run; input tokens that a cache was read or written for are counted separately."""
    usage = usage or UNKNOWN
    cached, written = usage.cached_tokens, usage.cache_write_tokens
    counts: dict[str, Any] = {"input_tokens": max(0, usage.prompt_tokens - (cached or 0) - (written or 0))}
    if written is not None:
        counts["cache_creation_input_tokens"] = written
    if cached is not None:
        counts["cache_read_input_tokens"] = cached
    counts["output_tokens"] = usage.completion_tokens
    if usage.reasoning_tokens is not None:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return counts
