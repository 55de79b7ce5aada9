"""The content of messages as Anthropic documents it, as types that pydantic checks.

Unknown fields are let through, and an optional field may be null. So are blocks of unknown types: betas bring new ones
every few weeks. Their content is never lost: see `content.py`.

Source: types of the `anthropic` package 2.14, `ContentBlockParam` and `BetaContentBlockParam`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Field, Tag
from typing_extensions import TypedDict

from ..validation import by_type, text_or_list

JsonObject = dict[str, Any]
Identifier = Annotated[str, Field(min_length=1, max_length=256)]


class TextBlock(TypedDict):
    type: Literal["text"]
    text: str


class Base64Source(TypedDict):
    type: Literal["base64"]
    media_type: str
    data: str


class TextSource(TypedDict):
    type: Literal["text"]
    data: str


class UrlSource(TypedDict):
    type: Literal["url"]
    url: str


class FileSource(TypedDict):
    type: Literal["file"]
    file_id: Identifier


ImageSource = Annotated[
    Annotated[Base64Source, Tag("|base64")] | Annotated[UrlSource, Tag("|url")] | Annotated[FileSource, Tag("|file")],
    by_type("base64", "url", "file"),
]


class ImageBlock(TypedDict):
    type: Literal["image"]
    source: ImageSource


SourcePart = Annotated[
    Annotated[TextBlock, Tag("|text")] | Annotated[ImageBlock, Tag("|image")],
    by_type("text", "image"),
]


class ContentSource(TypedDict):
    type: Literal["content"]
    content: Annotated[
        Annotated[str, Tag("|string")] | Annotated[list[SourcePart], Tag("|list")],
        text_or_list(),
    ]


DocumentSource = Annotated[
    Annotated[Base64Source, Tag("|base64")]
    | Annotated[TextSource, Tag("|text")]
    | Annotated[ContentSource, Tag("|content")]
    | Annotated[UrlSource, Tag("|url")]
    | Annotated[FileSource, Tag("|file")],
    by_type("base64", "text", "content", "url", "file"),
]


class DocumentBlock(TypedDict, total=False):
    type: Required[Literal["document"]]
    source: Required[DocumentSource]
    title: str | None
    context: str | None


class SearchResultBlock(TypedDict):
    type: Literal["search_result"]
    source: str
    title: str
    content: list[TextBlock]


class OtherBlock(TypedDict):
    type: str


ResultPart = Annotated[
    Annotated[TextBlock, Tag("|text")]
    | Annotated[ImageBlock, Tag("|image")]
    | Annotated[DocumentBlock, Tag("|document")]
    | Annotated[SearchResultBlock, Tag("|search_result")]
    | Annotated[OtherBlock, Tag("|other")],
    by_type("text", "image", "document", "search_result", other=True),
]


class ToolResultBlock(TypedDict, total=False):
    type: Required[Literal["tool_result"]]
    tool_use_id: Required[Identifier]
    content: (
        Annotated[Annotated[str, Tag("|string")] | Annotated[list[ResultPart], Tag("|list")], text_or_list()] | None
    )
    is_error: bool | None


class ToolUseBlock(TypedDict):
    type: Literal["tool_use"]
    id: Identifier
    name: Identifier
    input: JsonObject


class ThinkingBlock(TypedDict):
    type: Literal["thinking"]
    thinking: str


UserBlock = Annotated[
    Annotated[TextBlock, Tag("|text")]
    | Annotated[ImageBlock, Tag("|image")]
    | Annotated[DocumentBlock, Tag("|document")]
    | Annotated[SearchResultBlock, Tag("|search_result")]
    | Annotated[ToolResultBlock, Tag("|tool_result")]
    | Annotated[OtherBlock, Tag("|other")],
    by_type("text", "image", "document", "search_result", "tool_result", other=True),
]
AssistantBlock = Annotated[
    Annotated[TextBlock, Tag("|text")]
    | Annotated[ToolUseBlock, Tag("|tool_use")]
    | Annotated[ThinkingBlock, Tag("|thinking")]
    | Annotated[OtherBlock, Tag("|other")],
    by_type("text", "tool_use", "thinking", other=True),
]
SystemBlock = Annotated[
    Annotated[TextBlock, Tag("|text")] | Annotated[OtherBlock, Tag("|other")], by_type("text", other=True)
]

UserContent = Annotated[
    Annotated[str, Tag("|string")] | Annotated[list[UserBlock], Tag("|list")],
    text_or_list(),
]
AssistantContent = Annotated[
    Annotated[str, Tag("|string")] | Annotated[list[AssistantBlock], Tag("|list")],
    text_or_list(),
]
SystemContent = Annotated[
    Annotated[str, Tag("|string")] | Annotated[list[SystemBlock], Tag("|list")],
    text_or_list(),
]
