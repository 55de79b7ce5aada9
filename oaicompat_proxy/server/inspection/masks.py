"""The allow-list of fields that stay readable in masked requests, the client's and the agent's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...core.recorded_fields import Fields, Readable, RecordedFields
from ...recordings.masked_text import mask_text
from ...recordings.masking import mask

ID, NAME, TIME, NUMBER, _, _, _ = Readable

_ROLES = frozenset({"user", "assistant", "system", "developer", "tool", "function", "event", "reasoning", "activity"})
_TYPES = frozenset(
    {
        *("text", "input_text", "output_text", "image", "image_url", "input_image", "file", "input_file", "document"),
        *("audio", "input_audio", "video", "binary", "function", "custom", "tool_use", "tool_result", "thinking"),
        *("reasoning", "message", "function_call", "function_call_output", "ephemeral", "auto", "any", "tool", "none"),
        *("json_schema", "json_object", "event", "base64", "url", "mcp", "mcp_call", "item_reference"),
    }
)
_CHOICES = frozenset({"auto", "none", "required", "any"})
_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "auto", "concise", "detailed"})
_PART: Fields = {"type": _TYPES, "role": _ROLES, "id": ID, "tool_use_id": ID, "toolUseId": ID, "name": NAME}
_CALL: Fields = {"id": ID, "type": _TYPES, "function": {"name": NAME}}
_TOOL: Fields = {"type": _TYPES, "name": NAME, "function": {"name": NAME}}
_MESSAGE: Fields = {
    "role": _ROLES,
    "type": _TYPES,
    "id": ID,
    "content": _PART,
    "tool_calls": _CALL,
    "toolCalls": _CALL,
    **dict.fromkeys(("tool_call_id", "toolCallId", "call_id"), ID),
}
_NUMBERS = (
    *("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "seed"),
    *("frequency_penalty", "presence_penalty", "max_tool_calls", "top_logprobs"),
)

REQUEST_FIELDS = RecordedFields(
    event_names=(),
    events={
        "": {
            **dict.fromkeys(_NUMBERS, NUMBER),
            "model": NAME,
            "messages": _MESSAGE,
            "message": _MESSAGE,
            "input": _MESSAGE,
            "tools": _TOOL,
            "tool_choice": {"": _CHOICES, "type": _TYPES, "name": NAME, "function": {"name": NAME}},
            "stream": None,
            "stream_options": {"include_usage": None},
            "reasoning_effort": _EFFORTS,
            "reasoning": {"effort": _EFFORTS, "summary": _EFFORTS},
            "thinking": {"type": frozenset({"enabled", "disabled", "adaptive"}), "budget_tokens": NUMBER},
            "previous_response_id": ID,
            "runId": ID,
            "method": NAME,
        }
    },
    unknown={},
)
"""The fields of requests of all client APIs and to all dialects. Sessions and threads stay masked: they give access."""

READABLE_HEADERS = frozenset({"Content-Type", "Accept", "User-Agent", "anthropic-version"})


def mask_request(body: bytes) -> bytes:
    """A request's JSON without its texts."""
    return mask(body, REQUEST_FIELDS)


def mask_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    shown = {name: value if name in READABLE_HEADERS else mask_text(value) for name, value in headers.items()}
    return MappingProxyType(shown)
