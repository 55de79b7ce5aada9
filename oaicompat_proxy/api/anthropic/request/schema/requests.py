"""The body of a Messages request as Anthropic documents it, as types that pydantic checks.

Fields that are not named here are let through, whatever they hold: the agent gets them. So is a tool of an unknown
type, since it asks nothing of an agent.

Source: types of the `anthropic` package 2.14, `MessageCreateParams`; `api/anthropic/PROTOCOL.md`, "Request".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Discriminator, Field, Tag, TypeAdapter
from typing_extensions import TypedDict

from ....number_types import Integer, Natural, Positive
from ..validation import by_type
from .blocks import AssistantContent, JsonObject, SystemContent, UserContent


class UserMessage(TypedDict):
    role: Literal["user"]
    content: UserContent


class AssistantMessage(TypedDict):
    role: Literal["assistant"]
    content: AssistantContent


class SystemMessage(TypedDict):
    role: Literal["system"]
    content: SystemContent


_ROLES = {"user": "|user", "assistant": "|assistant", "system": "|system"}


def _role_tag(message: Any) -> str | None:
    role = message.get("role") if type(message) is dict else None
    return _ROLES.get(role) if type(role) is str else None


Message = Annotated[
    Annotated[UserMessage, Tag("|user")]
    | Annotated[AssistantMessage, Tag("|assistant")]
    | Annotated[SystemMessage, Tag("|system")],
    Discriminator(
        _role_tag,
        custom_error_type="unknown_role",
        custom_error_message="Input should be an object whose 'role' is one of 'user', 'assistant', 'system'",
    ),
]


class CustomTool(TypedDict, total=False):
    """A tool that the client runs."""

    type: Literal["custom"] | None
    name: Required[Annotated[str, Field(min_length=1, max_length=256)]]
    description: str | None
    input_schema: Required[JsonObject]


class OtherTool(TypedDict):
    """A tool of Anthropic's service, or a set of tools."""

    type: str


def _tool_tag(tool: Any) -> str | None:
    if type(tool) is not dict:
        return None
    return "|custom" if tool.get("type", "custom") in ("custom", None) else "|other"


AnyTool = Annotated[
    Annotated[CustomTool, Tag("|custom")] | Annotated[OtherTool, Tag("|other")],
    Discriminator(_tool_tag, custom_error_type="no_tool", custom_error_message="Input should be a valid dictionary"),
]


class PlainChoice(TypedDict):
    type: Literal["auto", "any", "none"]


class NamedChoice(TypedDict):
    type: Literal["tool"]
    name: str


ToolChoice = Annotated[
    Annotated[PlainChoice, Tag("|auto")]
    | Annotated[PlainChoice, Tag("|any")]
    | Annotated[PlainChoice, Tag("|none")]
    | Annotated[NamedChoice, Tag("|tool")],
    by_type("auto", "any", "none", "tool"),
]


class Thinking(TypedDict, total=False):
    type: Required[str]
    budget_tokens: Integer | None
    display: str | None


class Metadata(TypedDict, total=False):
    user_id: str | None


class CountedRequest(TypedDict, total=False):
    """The fields that `count_tokens` and a request for an answer share."""

    model: Required[Annotated[str, Field(min_length=1, max_length=256)]]
    messages: Required[Annotated[list[Message], Field(min_length=1)]]
    system: SystemContent | None
    tools: list[AnyTool] | None
    tool_choice: ToolChoice | None
    thinking: Thinking | None


class MessageRequest(CountedRequest, total=False):
    max_tokens: Required[Positive]
    stream: bool | None
    stop_sequences: list[str] | None
    metadata: Metadata | None
    temperature: Annotated[float, Field(ge=0, le=1)] | None
    top_p: Annotated[float, Field(ge=0, le=1)] | None
    top_k: Natural | None


MESSAGE_REQUEST: TypeAdapter[MessageRequest] = TypeAdapter(MessageRequest)
COUNTED_REQUEST: TypeAdapter[CountedRequest] = TypeAdapter(CountedRequest)
