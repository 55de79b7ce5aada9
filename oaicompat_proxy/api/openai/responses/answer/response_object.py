"""The `response` object: the request's fields, repeated, and the state.

Source: OpenAI API description, `Response`; the fields that Open Responses (version 2026-04-24) requires, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from .....core import ascii_json, json_text
from .....core.answer import Envelope, UsageTotals
from .....core.errors import ProxyError
from .....core.immutable import readonly
from ....protocol import Clock, no_clock
from .failures import encode_failure, failed_status

_DEFAULTS: Mapping[str, Any] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""The service's values for fields that the request does not have."""

_OPTIONAL = ("conversation", "prompt_cache_options", "prompt_cache_retention")
"""Fields that are repeated only if the request has them."""
UNFINISHED = frozenset({"queued", "in_progress"})
"""The values of `status` before the end of a response."""

_TOOL_DEFAULTS = {"name": None, "description": None, "parameters": None, "strict": None}


def echo_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that its response repeats, unless they are absent or null."""
    return {name: body[name] for name in (*_DEFAULTS, *_OPTIONAL) if body.get(name) is not None}


def encode_echo(given: Mapping[str, Any]) -> bytes:
    """The fields that a response repeats of its request: JSON members without braces. `given`: from `echo_of`."""
    echo = {**_DEFAULTS, **given}
    if "tools" in given:
        echo["tools"] = [_TOOL_DEFAULTS | tool if tool.get("type") == "function" else tool for tool in given["tools"]]
    if isinstance(given.get("conversation"), str):
        echo["conversation"] = {"id": given["conversation"]}
    if "text" in given:
        echo["text"] = {**given["text"], "format": given["text"].get("format") or {"type": "text"}}
    if "reasoning" in given:
        echo["reasoning"] = {**_DEFAULTS["reasoning"], **given["reasoning"]}
    return ascii_json.encode(echo)[1:-1]


@readonly
class ResponseState:
    """The state of a response, or its result. Bytes are JSON."""

    status: str
    output: bytes = b""
    """The items, separated by commas."""
    usage: bytes = b"null"
    error: bytes = b"null"
    incomplete_details: bytes = b"null"


class ResponseObject:
    """Encodes the response object of one answer with any state."""

    def __init__(self, envelope: Envelope, echo: bytes, clock: Clock = no_clock) -> None:
        """`echo`: from `encode_echo`. `clock` is read once, when the response is completed."""
        answer_id, created, model = envelope
        shared = {"id": answer_id, "object": "response", "created_at": created, "model": model}
        self._start = json_text.encode(shared)[:-1]
        self._echo = echo
        self._clock = clock
        # state
        self._completed_at: int | None = None

    def encode(self, state: ResponseState) -> bytes:
        """`completed_at` is null unless the status is `completed`, and where no time is known."""
        if state.status == "completed" and self._completed_at is None:
            self._completed_at = self._clock()
        completed_at = self._completed_at if state.status == "completed" else None
        ending = b'"error":%b,"incomplete_details":%b' % (state.error, state.incomplete_details)
        made = b'"output":[%b],"usage":%b' % (state.output, state.usage)
        words = (self._start, state.status.encode(), orjson.dumps(completed_at), ending, made, self._echo)
        return b'%b,"status":"%b","completed_at":%b,%b,%b,%b}' % words


def failed_body(body: bytes, error: ProxyError, output: bytes) -> bytes:
    """The stored response `body`, with status `failed` or `cancelled` if it was unfinished.

    `output`: its items so far, as JSON separated by commas; empty keeps those of `body`.
    """
    made = json.loads(body)
    if made["status"] not in UNFINISHED:
        return body
    made["status"] = failed_status(error)
    if made["status"] == "failed":
        made["error"] = json.loads(encode_failure(error))
    if output:
        made["output"] = json.loads(b"[%b]" % output)
    return ascii_json.encode(made)


def encode_usage(usage: UsageTotals | None) -> bytes:
    """All counts are required: unknown counts are 0, because clients reject a response without them."""
    if usage is None:
        usage = UsageTotals(0, 0, 0)
    return json_text.encode(
        {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.cached_tokens or 0,
                "cache_write_tokens": usage.cache_write_tokens or 0,
            },
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
            "total_tokens": usage.total_tokens,
        }
    )
