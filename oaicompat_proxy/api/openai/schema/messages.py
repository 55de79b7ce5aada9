"""The messages of a conversation as OpenAI documents them, as types that pydantic checks.

Unknown fields are accepted: client libraries send earlier answers back with `annotations`, `audio`,
`reasoning_content`, … An optional field may be null, which means the same as absent.

More tolerant than OpenAI's service where clients need it: empty fields may be left out (`content` of a system message,
an assistant's or a result; `arguments` of a call), results may contain pictures, sounds and files, and sounds may have
any format.

Source: `api/openai/PROTOCOL.md`, "Messages".
"""

from __future__ import annotations

from typing import Annotated, Literal, Required, TypeVar

from pydantic import Field, Tag
from typing_extensions import TypedDict

from ..validation import by_field, by_json_type

_Item = TypeVar("_Item")
Array = Annotated[list[_Item], Field(fail_fast=True)]
"""Validation stops at the first invalid item, so a long list of invalid items costs little."""

String = Annotated[str, Tag("|string")]


# Content parts


class TextPart(TypedDict):
    type: Literal["text"]
    text: str


class RefusalPart(TypedDict):
    type: Literal["refusal"]
    refusal: str


class ImageUrl(TypedDict, total=False):
    url: Required[str]
    detail: str | None


class ImagePart(TypedDict):
    type: Literal["image_url"]
    image_url: ImageUrl


class InputAudio(TypedDict):
    data: str
    format: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]{0,31}$")]


class AudioPart(TypedDict):
    type: Literal["input_audio"]
    input_audio: InputAudio


class File(TypedDict, total=False):
    file_data: str | None
    file_id: str | None
    filename: str | None


class FilePart(TypedDict):
    type: Literal["file"]
    file: File


UserPart = Annotated[
    Annotated[TextPart, Tag("|text")]
    | Annotated[ImagePart, Tag("|image_url")]
    | Annotated[AudioPart, Tag("|input_audio")]
    | Annotated[FilePart, Tag("|file")],
    by_field("type", "text", "image_url", "input_audio", "file"),
]
AssistantPart = Annotated[
    Annotated[TextPart, Tag("|text")] | Annotated[RefusalPart, Tag("|refusal")],
    by_field("type", "text", "refusal"),
]

_string_or_parts = by_json_type("a string", "array of objects")
TextContent = Annotated[String | Annotated[Array[TextPart], Tag("|array")], _string_or_parts]
UserContent = Annotated[
    String | Annotated[Array[UserPart], Field(min_length=1), Tag("|array")],
    _string_or_parts,
]
AssistantContent = Annotated[String | Annotated[Array[AssistantPart], Tag("|array")], _string_or_parts]
ResultContent = Annotated[String | Annotated[Array[UserPart], Tag("|array")], _string_or_parts]


# Messages


class PromptMessage(TypedDict, total=False):
    """`system` and its newer name `developer`."""

    content: TextContent | None
    name: str | None


class UserMessage(TypedDict, total=False):
    content: Required[UserContent]
    name: str | None


class CalledFunction(TypedDict, total=False):
    name: Required[str]
    arguments: str | None


class FunctionToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: CalledFunction


class CalledCustomTool(TypedDict, total=False):
    name: Required[str]
    input: str | None


class CustomToolCall(TypedDict):
    id: str
    type: Literal["custom"]
    custom: CalledCustomTool


AnyToolCall = Annotated[
    Annotated[FunctionToolCall, Tag("|function")] | Annotated[CustomToolCall, Tag("|custom")],
    by_field("type", "function", "custom"),
]


class AssistantMessage(TypedDict, total=False):
    content: AssistantContent | None
    refusal: str | None
    name: str | None
    tool_calls: Array[AnyToolCall] | None
    function_call: CalledFunction | None


class ToolMessage(TypedDict, total=False):
    content: ResultContent | None
    tool_call_id: Required[str]


class FunctionMessage(TypedDict, total=False):
    content: ResultContent | None
    name: Required[str]


AnyMessage = Annotated[
    Annotated[PromptMessage, Tag("|system")]
    | Annotated[PromptMessage, Tag("|developer")]
    | Annotated[UserMessage, Tag("|user")]
    | Annotated[AssistantMessage, Tag("|assistant")]
    | Annotated[ToolMessage, Tag("|tool")]
    | Annotated[FunctionMessage, Tag("|function")],
    by_field("role", "system", "developer", "user", "assistant", "tool", "function"),
]
