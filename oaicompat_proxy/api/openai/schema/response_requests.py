"""The body of a Responses request as OpenAI documents it, as types that pydantic checks.

As in `requests`, unknown fields are accepted, null means the same as absent, and only bounds that hold for every model
are checked. A tool of an unknown type is accepted, too, because the agent does not have to call it.

Source: OpenAI's API description 2.3.0, `CreateResponse`; the types of the `openai` package 3.57.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Discriminator, Field, Tag, TypeAdapter
from typing_extensions import TypedDict

from ...number_types import Integer, Natural, NonNegative
from ..validation import at_most, by_field, by_json_type
from .messages import Array, String
from .requests import EchoedName, JsonObjectFormat, PromptCacheOptions
from .response_items import Input
from .tools import JsonObject, Name, TextFormat

MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE = 16, 64, 512
"""Keys of `metadata`, and the characters of a key and of a value."""

Metadata = Annotated[
    dict[
        Annotated[str, Field(max_length=MAX_METADATA_KEY)],
        Annotated[str, Field(max_length=MAX_METADATA_VALUE)],
    ],
    at_most(MAX_METADATA),
]
"""With the service's bounds and only strings as values, because the response repeats it to the official clients."""


class FunctionTool(TypedDict, total=False):
    type: Required[Literal["function"]]
    name: Required[Name]
    description: str | None
    parameters: JsonObject | None
    strict: bool | None


class CustomTool(TypedDict, total=False):
    type: Required[Literal["custom"]]
    name: Required[Name]
    description: str | None
    format: JsonObject | None


class McpTool(TypedDict, total=False):
    type: Required[Literal["mcp"]]
    server_label: str | None


class OtherTool(TypedDict, total=False):
    type: Required[str]


_OWN_TOOLS = {"function": "|function", "custom": "|custom", "mcp": "|mcp"}


def _tool_tag(tool: Any) -> str | None:
    kind = tool.get("type") if type(tool) is dict else None
    return _OWN_TOOLS.get(kind, "|other") if type(kind) is str else None


AnyTool = Annotated[
    Annotated[FunctionTool, Tag("|function")]
    | Annotated[CustomTool, Tag("|custom")]
    | Annotated[McpTool, Tag("|mcp")]
    | Annotated[OtherTool, Tag("|other")],
    Discriminator(
        _tool_tag, custom_error_type="object_kind", custom_error_message="type 'function' 'custom' 'mcp' 'web_search'"
    ),
]


class NamedChoice(TypedDict, total=False):
    """A function or a custom tool by its name, or a hosted tool by its type alone."""

    type: Required[str]
    name: str | None


class AllowedTools(TypedDict):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Array[NamedChoice]


def _choice_tag(choice: Any) -> str | None:
    kind = choice.get("type") if type(choice) is dict else None
    if type(kind) is not str:
        return None
    return "|allowed_tools" if kind == "allowed_tools" else "|named"


ChoiceObject = Annotated[
    Annotated[NamedChoice, Tag("|named")] | Annotated[AllowedTools, Tag("|allowed_tools")],
    Discriminator(
        _choice_tag,
        custom_error_type="object_kind",
        custom_error_message="type 'function' 'custom' 'allowed_tools' 'mcp'",
    ),
]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("|string")] | Annotated[ChoiceObject, Tag("|object")],
    by_json_type("a string", "an object"),
]


class JsonSchemaFormat(TypedDict, total=False):
    """In chat these members are in an inner object, `json_schema`."""

    type: Required[Literal["json_schema"]]
    name: Required[str]
    schema: Required[JsonObject]
    description: str | None
    strict: bool | None


Format = Annotated[
    Annotated[TextFormat, Tag("|text")]
    | Annotated[JsonObjectFormat, Tag("|json_object")]
    | Annotated[JsonSchemaFormat, Tag("|json_schema")],
    by_field("type", "text", "json_object", "json_schema"),
]


class TextOptions(TypedDict, total=False):
    format: Format | None
    verbosity: str | None


class Reasoning(TypedDict, total=False):
    effort: str | None
    summary: str | None
    generate_summary: str | None
    context: Any
    mode: Any


class StreamOptions(TypedDict, total=False):
    include_obfuscation: bool | None


class ConversationObject(TypedDict):
    id: str


Conversation = Annotated[String | Annotated[ConversationObject, Tag("|object")], by_json_type("a string", "an object")]


class ResponseBody(TypedDict, total=False):
    """Fields such as `prompt` and `moderation` are rejected or passed on with any content, so they have no types."""

    model: EchoedName | None
    input: Required[Input]
    instructions: str | None
    stream: bool | None
    stream_options: StreamOptions | None
    max_output_tokens: Integer | None
    max_tool_calls: Integer | None
    temperature: NonNegative | None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None
    top_logprobs: Natural | None
    tools: Array[AnyTool] | None
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    reasoning: Reasoning | None
    text: TextOptions | None
    previous_response_id: EchoedName | None
    conversation: Conversation | None
    store: bool | None
    include: Array[str] | None
    background: bool | None
    background_options: JsonObject | None
    truncation: str | None
    metadata: Metadata | None
    user: EchoedName | None
    safety_identifier: EchoedName | None
    prompt_cache_key: EchoedName | None
    prompt_cache_options: PromptCacheOptions | None
    prompt_cache_retention: str | None
    service_tier: str | None
    client_metadata: JsonObject | None
    prompt: Any
    moderation: Any
    context_management: Any
    image: Any
    access_programs: Any


RESPONSE: TypeAdapter[ResponseBody] = TypeAdapter(ResponseBody)
