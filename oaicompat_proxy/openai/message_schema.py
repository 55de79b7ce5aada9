"""The messages of a conversation as OpenAI documents them, as types that pydantic checks.

Fields that the API does not know are let through, and so is whatever client libraries keep on echoed
assistant messages (`annotations`, `audio`, `reasoning_content`, …) and `prompt_cache_breakpoint`. An
optional field may be null, which means the same as absent.

Source: OpenAI's API description 2.3.0 as laid down in `openai-chat.md` 1.3.
"""

from __future__ import annotations

from typing import Annotated, Literal, Required, TypeVar

from pydantic import Field, Tag
from typing_extensions import TypedDict

from .validation import by_field, by_json_type

_Item = TypeVar("_Item")
Array = Annotated[list[_Item], Field(fail_fast=True)]
"""Stops at the first bad item, so that a long list of bad items is no work."""

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
    detail: Literal["auto", "low", "high", "original"] | None


class ImagePart(TypedDict):
    type: Literal["image_url"]
    image_url: ImageUrl


class InputAudio(TypedDict):
    data: str
    format: Literal["wav", "mp3"]


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
_prompt_parts = Field(min_length=1)  # not for what a client echoes or a tool returns: those may be empty
PromptText = Annotated[String | Annotated[Array[TextPart], _prompt_parts, Tag("|array")], _string_or_parts]
UserContent = Annotated[String | Annotated[Array[UserPart], _prompt_parts, Tag("|array")], _string_or_parts]
AssistantContent = Annotated[String | Annotated[Array[AssistantPart], Tag("|array")], _string_or_parts]
ToolContent = Annotated[String | Annotated[Array[TextPart], Tag("|array")], _string_or_parts]


# Messages


class PromptMessage(TypedDict, total=False):
    """`system` and its newer name `developer`."""

    content: Required[PromptText]
    name: str | None


class UserMessage(TypedDict, total=False):
    content: Required[UserContent]
    name: str | None


class CalledFunction(TypedDict):
    name: str
    arguments: str


class FunctionToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: CalledFunction


class CalledCustomTool(TypedDict):
    name: str
    input: str


class CustomToolCall(TypedDict):
    id: str
    type: Literal["custom"]
    custom: CalledCustomTool


AnyToolCall = Annotated[
    Annotated[FunctionToolCall, Tag("|function")] | Annotated[CustomToolCall, Tag("|custom")],
    by_field("type", "function", "custom"),
]


class AssistantMessage(TypedDict, total=False):
    """That `content` may be absent only beside a call or a refusal is for the builder to check."""

    content: AssistantContent | None
    refusal: str | None
    name: str | None
    tool_calls: Array[AnyToolCall] | None
    function_call: CalledFunction | None


class ToolMessage(TypedDict):
    content: ToolContent
    tool_call_id: str


class FunctionMessage(TypedDict):
    content: str | None
    name: str


AnyMessage = Annotated[
    Annotated[PromptMessage, Tag("|system")]
    | Annotated[PromptMessage, Tag("|developer")]
    | Annotated[UserMessage, Tag("|user")]
    | Annotated[AssistantMessage, Tag("|assistant")]
    | Annotated[ToolMessage, Tag("|tool")]
    | Annotated[FunctionMessage, Tag("|function")],
    by_field("role", "system", "developer", "user", "assistant", "tool", "function"),
]
