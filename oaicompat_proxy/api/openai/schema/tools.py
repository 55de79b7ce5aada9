"""Tools, and how a client chooses among them, as types that pydantic checks.

Source: `api/openai/PROTOCOL.md`, "Tools", and "Chat request" for the older `functions` and `function_call`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Field, Tag
from typing_extensions import TypedDict

from ..validation import by_field, by_json_type
from .messages import Array

JsonObject = dict[str, Any]
Name = Annotated[str, Field(min_length=1, max_length=256)]
"""OpenAI's service allows 64 of `A-Za-z0-9_-`, other models allow other names: the agent decides."""


class Function(TypedDict, total=False):
    name: Required[Name]
    description: str | None
    parameters: JsonObject | None
    strict: bool | None


class FunctionTool(TypedDict):
    type: Literal["function"]
    function: Function


class TextFormat(TypedDict):
    type: Literal["text"]


class Grammar(TypedDict):
    definition: str
    syntax: Literal["lark", "regex"]


class GrammarFormat(TypedDict):
    type: Literal["grammar"]
    grammar: Grammar


CustomFormat = Annotated[
    Annotated[TextFormat, Tag("|text")] | Annotated[GrammarFormat, Tag("|grammar")],
    by_field("type", "text", "grammar"),
]


class Custom(TypedDict, total=False):
    name: Required[Name]
    description: str | None
    format: CustomFormat | None


class CustomTool(TypedDict):
    type: Literal["custom"]
    custom: Custom


AnyTool = Annotated[
    Annotated[FunctionTool, Tag("|function")] | Annotated[CustomTool, Tag("|custom")],
    by_field("type", "function", "custom"),
]


class Named(TypedDict):
    name: str


class FunctionChoice(TypedDict):
    type: Literal["function"]
    function: Named


class CustomChoice(TypedDict):
    type: Literal["custom"]
    custom: Named


NamedChoice = Annotated[
    Annotated[FunctionChoice, Tag("|function")] | Annotated[CustomChoice, Tag("|custom")],
    by_field("type", "function", "custom"),
]


class AllowedTools(TypedDict):
    mode: Literal["auto", "required"]
    tools: Array[NamedChoice]


class AllowedToolsChoice(TypedDict):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


ChoiceObject = Annotated[
    Annotated[FunctionChoice, Tag("|function")]
    | Annotated[CustomChoice, Tag("|custom")]
    | Annotated[AllowedToolsChoice, Tag("|allowed_tools")],
    by_field("type", "function", "custom", "allowed_tools"),
]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("|string")] | Annotated[ChoiceObject, Tag("|object")],
    by_json_type("a string", "an object"),
]
FunctionCallChoice = Annotated[
    Annotated[Literal["none", "auto"], Tag("|string")] | Annotated[Named, Tag("|object")],
    by_json_type("a string", "an object"),
]
