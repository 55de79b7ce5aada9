"""Parses a Messages request: bytes to an `AgentRequest`, or an error that names the field.

Fields that the proxy does not use are passed on to the agent, unknown ones too.

Source: `api/anthropic/PROTOCOL.md`, "Request".
"""

from __future__ import annotations

from typing import Any

from ....core.exact_json import find_excess
from ....core.request import AgentRequest, RequestLimits
from ...json_body import parse_json
from ...parameters import TOOLS, find_parameters, with_exact
from ...protocol import ParsedBody
from .conversation import build_messages
from .media import MediaReader
from .schema.requests import MESSAGE_REQUEST
from .tools import parse_tool_names, parse_tools
from .validation import check, clip, fault

METADATA_KEY = "anthropic"
"""The key of the parameters in the metadata of the agent's message."""

_USED = frozenset({"model", "messages", "system", "stream"})
_HIDDEN_THINKING = frozenset({"disabled", "omitted"})


def read(body: bytes, limits: RequestLimits) -> ParsedBody:
    """Raises InvalidRequest for a body that is no JSON object, or one of too many values."""
    members = parse_json(body, max_values=limits.values)
    return with_exact(body, members, _USED)


def build_request(body: ParsedBody, limits: RequestLimits) -> AgentRequest:
    """Raises InvalidRequest for any error in the body, and nothing else."""
    members, size = body.members, body.size
    check_counts(members, limits)
    check(MESSAGE_REQUEST, members)
    tool_names = parse_tool_names(members)
    media = MediaReader(limits.media)
    messages = build_messages(members["messages"], members.get("system"), media)
    check_text(size - media.encoded, limits)
    parameters, exact = find_parameters(body, _USED)
    if (name := find_excess(exact)) is not None:
        raise fault(clip(name), "it has a number beyond the range of a double")
    return AgentRequest(
        model=members["model"],
        messages=messages,
        stream=bool(members.get("stream")),
        tool_names=tool_names,
        parameters=parameters,
        metadata_key=METADATA_KEY,
        exact=exact,
        tools=parse_tools(members, exact, tool_names),
        tool_parameters=TOOLS,
        form={"thinking": _shows_thinking(members.get("thinking") or {})},
    )


def check_text(size: int, limits: RequestLimits) -> None:
    if size > limits.text:
        raise fault(
            "messages",
            f"the request holds {size} bytes of text, and this server takes at most {limits.text}",
            code="string_above_max_length",
        )


def check_counts(members: dict[str, Any], limits: RequestLimits) -> None:
    """Called before the schema is checked, to bound that work."""
    messages, tools = members.get("messages"), members.get("tools")
    if isinstance(tools, list) and len(tools) > limits.tools:
        raise _too_long("tools", limits.tools, len(tools))
    if not isinstance(messages, list):
        return
    if len(messages) > limits.messages:
        raise _too_long("messages", limits.messages, len(messages))
    parts = sum(map(_count_blocks, messages)) + _count_list(members.get("system"))
    if parts > limits.parts:
        raise fault(
            "messages",
            f"expected at most {limits.parts} content blocks together, but got {parts}",
            code="array_above_max_length",
        )


def _count_blocks(message: Any) -> int:
    content = message.get("content") if type(message) is dict else None
    if type(content) is not list:
        return 0
    return len(content) + sum(_count_list(block.get("content")) for block in content if type(block) is dict)


def _count_list(value: Any) -> int:
    return len(value) if type(value) is list else 0


def _too_long(path: str, limit: int, length: int) -> Exception:
    reason = f"List should have at most {limit} items after validation, not {length}"
    return fault(path, reason, code="array_above_max_length")


def _shows_thinking(thinking: dict[str, Any]) -> bool:
    return _HIDDEN_THINKING.isdisjoint((thinking.get("type"), thinking.get("display")))
