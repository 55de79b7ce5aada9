"""Content blocks of a request → blocks of a message: text, pictures and documents.

Source: `api/anthropic/PROTOCOL.md`, "Content blocks".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ....core import json_text
from ....core.message import Block, Text
from .media import MediaReader

ContentBlock = Mapping[str, Any]
Content = str | Sequence[ContentBlock] | None


def build_blocks(content: Content, path: str, media: MediaReader) -> tuple[Block, ...]:
    """`content`: checked. `path`: its place in the request. Raises InvalidRequest for invalid media."""
    if not content:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    return tuple(each for index, block in enumerate(content) for each in build_block(block, f"{path}.{index}", media))


def build_block(block: ContentBlock, path: str, media: MediaReader) -> Iterator[Block]:
    """A block of an unknown type becomes its JSON as text, since it may contain the user's words."""
    kind = block["type"]
    if kind == "text":
        yield Text(block["text"])
    elif kind == "image":
        yield media.read("image", block["source"], f"{path}.source")
    elif kind == "document":
        yield from _build_document(block, f"{path}.source", media)
    elif kind == "search_result":
        yield Text("\n".join([block["title"], block["source"], *(part["text"] for part in block["content"])]))
    else:
        yield Text(encode_unknown(block))


def encode_unknown(block: ContentBlock) -> str:
    return json_text.encode(block).decode()


def _build_document(document: ContentBlock, path: str, media: MediaReader) -> Iterator[Block]:
    source, title = document["source"], document.get("title")
    about = [words for words in (title, document.get("context")) if words]
    if source["type"] == "text":
        yield Text("\n".join([*about, source["data"]]))
        return
    if about:
        yield Text("\n".join(about))
    if source["type"] == "content":
        yield from build_blocks(source["content"], f"{path}.content", media)
    else:
        yield media.read("document", source, path, title)
