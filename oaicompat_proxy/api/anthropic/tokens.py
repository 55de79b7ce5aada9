"""`POST …/messages/count_tokens`: estimates the tokens of a request, since no agent reports them before its run.

Clients call it to see how full a context is, dozens of times at once. A header says that the number is an estimate.

Source: `api/anthropic/PROTOCOL.md`, "Counting tokens".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core import json_text
from ...core.message import Message, Text
from ...core.request import RequestLimits
from ..protocol import ApiRoute, RouteAnswer, RouteRequest
from .request.conversation import build_messages
from .request.media import MediaReader
from .request.request import check_counts, read
from .request.schema.requests import COUNTED_REQUEST
from .request.validation import check

ESTIMATE = {"x-oaicompat-estimate": "true"}

BYTES_OF_A_TOKEN = 4
"""Bytes of UTF-8: about right for English, and for scripts in which a character has three bytes and is one token."""

TOKENS_OF_MEDIA = 1600
"""Tokens of a picture of the largest size that Anthropic's service does not scale down."""

TOKENS_OF_A_MESSAGE = 4

LIMITS = RequestLimits(media=1 << 30, messages=100_000)
"""Loose limits, because nothing is kept: the size of the body bounds the work."""


def count_tokens(request: RouteRequest, stored: Mapping[str, bytes]) -> RouteAnswer:
    """Raises InvalidRequest."""
    members = read(request.body, LIMITS).members
    check_counts(members, LIMITS)
    check(COUNTED_REQUEST, members)
    messages = build_messages(members["messages"], members.get("system"), MediaReader(LIMITS.media))
    tokens = estimate(messages, members.get("tools") or [])
    return RouteAnswer(json_text.encode({"input_tokens": tokens}), headers=ESTIMATE, model=members["model"])


def estimate(messages: tuple[Message, ...], tools: list[Any]) -> int:
    size, media = len(json_text.encode(tools)) if tools else 0, 0
    for message in messages:
        for block in message.blocks:
            if isinstance(block, Text):
                size += len(block.text.encode("utf-8", "replace"))
            else:
                media += 1
        size += sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return size // BYTES_OF_A_TOKEN + media * TOKENS_OF_MEDIA + len(messages) * TOKENS_OF_A_MESSAGE


def _no_names(request: RouteRequest) -> frozenset[str]:
    return frozenset()


COUNT_TOKENS = ApiRoute("POST", "/messages/count_tokens", _no_names, count_tokens)
