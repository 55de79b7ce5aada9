"""The input items of a Responses request, as types that pydantic checks.

An item without `type` is a message if it has a `role`, else a reference to an item. Items of OpenAI's own tools are
accepted and ignored. Unknown fields are accepted, too, and an optional field may be null, which means the same as
absent.

More tolerant than OpenAI's service where clients need it: an assistant's message may contain `input_text`, a call may
have no arguments and a result no output.

Source: OpenAI's API description 2.3.0, `InputItem`; the types of the `openai` package 3.57.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Discriminator, Field, Tag
from typing_extensions import TypedDict

from ..validation import by_field, by_json_type
from .messages import Array, InputAudio, String

OTHER_TYPES = frozenset(
    {
        *("additional_tools", "apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "compaction"),
        *("compaction_trigger", "computer_call", "computer_call_output", "configuration_update", "file_search_call"),
        *("image_generation_call", "local_shell_call", "local_shell_call_output", "program", "program_output"),
        *("shell_call", "shell_call_output", "tool_search_call", "tool_search_output", "web_search_call"),
        *("mcp_call", "mcp_list_tools", "reasoning"),
    }
)
"""Types of items that are not shown to the agent: its own actions, which it knows, and calls of OpenAI's own tools."""


class InputText(TypedDict):
    type: Literal["input_text"]
    text: str


class OutputText(TypedDict):
    type: Literal["output_text"]
    text: str


class Refusal(TypedDict):
    type: Literal["refusal"]
    refusal: str


class InputImage(TypedDict, total=False):
    type: Required[Literal["input_image"]]
    image_url: str | None
    file_id: str | None
    detail: str | None


class InputFile(TypedDict, total=False):
    type: Required[Literal["input_file"]]
    file_data: str | None
    file_id: str | None
    file_url: str | None
    filename: str | None


class InputSound(TypedDict):
    type: Literal["input_audio"]
    input_audio: InputAudio


InputPart = Annotated[
    Annotated[InputText, Tag("|input_text")]
    | Annotated[InputImage, Tag("|input_image")]
    | Annotated[InputFile, Tag("|input_file")]
    | Annotated[InputSound, Tag("|input_audio")],
    by_field("type", "input_text", "input_image", "input_file", "input_audio"),
]
OutputPart = Annotated[
    Annotated[OutputText, Tag("|output_text")]
    | Annotated[Refusal, Tag("|refusal")]
    | Annotated[InputText, Tag("|input_text")],
    by_field("type", "output_text", "refusal", "input_text"),
]

_string_or_parts = by_json_type("a string", "array of objects")
InputContent = Annotated[String | Annotated[Array[InputPart], Tag("|array")], _string_or_parts]
UserContent = Annotated[
    String | Annotated[Annotated[Array[InputPart], Field(min_length=1)], Tag("|array")], _string_or_parts
]
OutputContent = Annotated[String | Annotated[Array[OutputPart], Tag("|array")], _string_or_parts]


class UserMessage(TypedDict, total=False):
    content: Required[UserContent]


class PromptMessage(TypedDict, total=False):
    """`system` and its newer name `developer`."""

    content: InputContent | None


class OutputMessage(TypedDict, total=False):
    """A message of the assistant, from an earlier answer or written by the client."""

    content: OutputContent | None


AnyMessage = Annotated[
    Annotated[UserMessage, Tag("|user")]
    | Annotated[PromptMessage, Tag("|system")]
    | Annotated[PromptMessage, Tag("|developer")]
    | Annotated[OutputMessage, Tag("|assistant")],
    by_field("role", "user", "assistant", "system", "developer"),
]


class FunctionCall(TypedDict, total=False):
    call_id: Required[str]
    name: Required[str]
    arguments: str | None


class CustomToolCall(TypedDict, total=False):
    call_id: Required[str]
    name: Required[str]
    input: str | None


class ToolCallOutput(TypedDict, total=False):
    """The output of a function call or of a custom tool call."""

    call_id: Required[str]
    output: InputContent | None


class ApprovalRequest(TypedDict, total=False):
    id: Required[str]
    name: Required[str]
    arguments: str | None


class ApprovalResponse(TypedDict, total=False):
    approval_request_id: Required[str]
    approve: Required[bool]
    reason: str | None


class ItemReference(TypedDict, total=False):
    id: Required[str]


_KNOWN_TYPES = (
    *("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
    *("mcp_approval_request", "mcp_approval_response", "item_reference"),
)
_TAGS = {**{word: f"|{word}" for word in _KNOWN_TYPES}, **dict.fromkeys(OTHER_TYPES, "|other")}


def type_of(item: Any) -> str | None:
    """The type of an input item, also if it has no `type`; None if the value is no item."""
    if type(item) is not dict:
        return None
    word = item.get("type")
    if word is None:
        return "message" if "role" in item else "item_reference" if "id" in item else None
    return word if type(word) is str else None


def _tag_of(item: Any) -> str | None:
    word = type_of(item)
    if word is None:
        return None
    return _TAGS.get(word) or ("|other" if ":" in word else None)


InputItem = Annotated[
    Annotated[AnyMessage, Tag("|message")]
    | Annotated[FunctionCall, Tag("|function_call")]
    | Annotated[ToolCallOutput, Tag("|function_call_output")]
    | Annotated[CustomToolCall, Tag("|custom_tool_call")]
    | Annotated[ToolCallOutput, Tag("|custom_tool_call_output")]
    | Annotated[ApprovalRequest, Tag("|mcp_approval_request")]
    | Annotated[ApprovalResponse, Tag("|mcp_approval_response")]
    | Annotated[ItemReference, Tag("|item_reference")]
    | Annotated[dict[str, Any], Tag("|other")],
    Discriminator(
        _tag_of,
        custom_error_type="object_kind",
        custom_error_message=" ".join(["type", *(f"'{word}'" for word in sorted([*_KNOWN_TYPES, *OTHER_TYPES]))]),
    ),
]
Input = Annotated[
    String | Annotated[Annotated[Array[InputItem], Field(min_length=1)], Tag("|array")],
    by_json_type("a string", "array of objects"),
]
