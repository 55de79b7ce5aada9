"""Recognises retries of clients that send no `Idempotency-Key`.

Claude Code names its session. In one session equal bodies are the same request, because the next turn contains the
answer. After a failed stream it requests a whole message, so `stream` is not compared.

Other clients name no session, and may send two equal requests on purpose. Directly after a failure an equal request is
a retry: the AI SDK repeats a request twice after each status of 500 or more, despite `x-should-retry`.

Source: measured with Claude Code 2.1.332 and `@ai-sdk/anthropic` 4.0.105; `api/anthropic/PROTOCOL.md`, "Clients".
"""

from __future__ import annotations

from collections.abc import Mapping

from ....core import json_text
from ....core.errors import InvalidRequest
from ... import copilot_retries
from ...json_body import parse_json
from ...retry_rules import RetryKey
from .sessions import SESSION, name_of

MAX_SILENCE = 240.0
"""Seconds. Claude Code and Node's `fetch` break a silent connection after 300."""

_IN_BODY = b"session_id"


def read_retry_key(body: bytes, headers: Mapping[str, str], max_values: int) -> RetryKey | None:
    """The key of a request; None if the body is no valid JSON."""
    if SESSION not in headers and _IN_BODY not in body:  # costs less than parsing
        return _key_without_name(body, headers, max_values)
    try:
        members = parse_json(body, max_values=max_values)
    except InvalidRequest:
        return None
    name = name_of(headers, members)
    if not name:
        return _key_without_name(body, headers, max_values)
    stream = members.pop("stream", False) is True
    return RetryKey(json_text.encode_sorted([name, members]), stream)


def _key_without_name(body: bytes, headers: Mapping[str, str], max_values: int) -> RetryKey:
    return copilot_retries.read_retry_key(body, headers, max_values) or RetryKey(body, failures_only=True)
