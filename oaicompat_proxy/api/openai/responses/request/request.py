"""Parses a Responses request: bytes to an `AgentRequest`, or an error that names the field.

Features that an agent run does not have are rejected in OpenAI's wording. Fields that the proxy does not use are passed
on to the agent, and the response repeats the same fields as OpenAI's.

Source: OpenAI API description, `CreateResponse`; the service's errors.
"""

from __future__ import annotations

from typing import Any

from .....core.confirmation_call import CONFIRM_TOOL
from .....core.errors import InvalidRequest, NotFound
from .....core.request import AgentRequest, RequestLimits
from ....json_body import parse_json
from ....parameters import TOOLS, find_parameters, with_exact
from ....protocol import ParsedBody
from ...invalid_requests import array_above_max_length
from ...media import MediaReader
from ...parameters import METADATA_KEY
from ...schema.response_items import type_of
from ...schema.response_requests import RESPONSE
from ...unsupported import IN_RESPONSES, INSTEAD_OF_INPUT, refuse_unsupported
from ...validation import check, check_numbers, check_text
from ..answer.response_object import echo_of
from ..approvals import find_approval
from ..storage.stored_answer import EARLIER_ITEMS, Earlier, encode_change, encode_input
from .conversation import build_messages
from .encrypted_content import find_token
from .tools import custom_names, parse_tool_names, parse_tools, server_labels

_USED = frozenset(
    {
        *("model", "input", "instructions", "stream", "stream_options", "previous_response_id", "store", "include"),
        *("background", "conversation"),
        *(EARLIER_ITEMS, *IN_RESPONSES),
    }
)
_INCLUDED = "reasoning.encrypted_content"
_OUTPUTS = frozenset({"message", "function_call_output", "custom_tool_call_output", "mcp_approval_response"})
"""Types of items that count as messages; other items count as content parts."""


def read(body: bytes, limits: RequestLimits) -> ParsedBody:
    """Raises InvalidRequest for a body that is no JSON object, has too many values, or continues two conversations,
    and NotFound for a conversation with an empty name: all before stored entries are read for it.
    """
    members = parse_json(body, max_values=limits.values)
    members.pop(EARLIER_ITEMS, None)
    _check_counts(members, limits)
    _check_one_conversation(members)
    return with_exact(body, members, _USED)


def build_request(body: ParsedBody, limits: RequestLimits) -> AgentRequest:
    """Raises InvalidRequest for any error in the body; NotFound for a reference to an unknown item."""
    members, size = body.members, body.size
    _check_counts(members, limits)
    _check_members(members)
    tool_names = parse_tool_names(members)
    media = MediaReader(limits.media)
    earlier = members.get(EARLIER_ITEMS, Earlier())
    messages, goes_on = build_messages(
        members["input"], members.get("instructions"), media, earlier=earlier.items, source=earlier.source
    )
    check_text(size - media.encoded, limits.text, "input")
    stored, change = encode_input(members, size), encode_change(members, earlier, size)
    parameters, exact = find_parameters(body, _USED)
    check_numbers(exact)
    return AgentRequest(
        model=members.get("model") or "",
        messages=messages,
        stream=bool(members.get("stream")),
        tool_names=tool_names,
        parameters=parameters,
        metadata_key=METADATA_KEY,
        exact=exact,
        tools=parse_tools(members, exact, tool_names),
        tool_parameters=TOOLS,
        stored_input=stored,
        change=change,
        wants_token=_INCLUDED in (members.get("include") or ()),
        session_token=find_token(members["input"]),
        continues=earlier.point if goes_on else "",
        continuable=bool(stored or change),
        instructions=members.get("instructions") or "",
        form=_form_of(members, tool_names),
    )


def _form_of(members: dict[str, Any], tool_names: frozenset[str]) -> dict[str, Any]:
    return {
        "echo": echo_of(members),
        "custom_tools": custom_names(members),
        "server_labels": [] if CONFIRM_TOOL in tool_names else server_labels(members),
        "stored": members.get("store") is not False,
        **find_approval(members["input"]),
    }


def _check_members(members: dict[str, Any]) -> None:
    refuse_unsupported(members, INSTEAD_OF_INPUT)
    check(RESPONSE, members)
    refuse_unsupported(members, IN_RESPONSES)
    _check_background(members)


def _check_background(members: dict[str, Any]) -> None:
    if members.get("background") and members.get("store") is False:
        message = "Background responses are stored: 'background' cannot be used with 'store' set to false."
        raise InvalidRequest(message, param="background", code="invalid_value")


def _check_one_conversation(members: dict[str, Any]) -> None:
    """An empty name is the name of no conversation: without a refusal the agent would answer without it."""
    conversation = members.get("conversation")
    if (conversation.get("id") if type(conversation) is dict else conversation) == "":
        raise NotFound("Conversation with id '' not found.", param="conversation")
    if members.get("previous_response_id") is None or conversation is None:
        return
    raise InvalidRequest(
        "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. "
        "Ensure you are only providing one of: 'previous_response_id' or 'conversation'.",
        param="conversation",
        code="mutually_exclusive_parameters",
    )


def _check_counts(members: dict[str, Any], limits: RequestLimits) -> None:
    """Called before the schema is checked, to bound that work."""
    items, tools = members.get("input"), members.get("tools")
    if isinstance(tools, list) and len(tools) > limits.tools:
        raise array_above_max_length("tools", limits.tools, len(tools))
    if not isinstance(items, list):
        return
    messages = sum(type_of(item) in _OUTPUTS for item in items)
    if messages > limits.messages:
        raise array_above_max_length("input", limits.messages, messages)
    parts = len(items) - messages + sum(map(_count_parts, items))
    if parts > limits.parts:
        wanted = f"Expected at most {limits.parts} content parts and other items together, but got {parts}."
        raise InvalidRequest(f"Invalid 'input': {wanted}", param="input", code="array_above_max_length")


def _count_parts(item: Any) -> int:
    if type(item) is not dict:
        return 0
    arrays = item.get("content"), item.get("output")
    return sum(len(array) for array in arrays if type(array) is list)
