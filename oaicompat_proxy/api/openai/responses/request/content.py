"""The content of input items → blocks: text, pictures, sounds and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .....core.message import Block, Text
from ...media import MediaReader

_TEXT_FIELDS = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
"""The field with the text of a content part, by its type; parts of other types are media."""


def build_blocks(content: str | list[Mapping[str, Any]] | None, path: str, media: MediaReader) -> tuple[Block, ...]:
    """`content`: checked. `path`: its place in the request. Raises InvalidRequest for invalid media."""
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    blocks: list[Block] = []
    for index, part in enumerate(content):
        field = _TEXT_FIELDS.get(part["type"])
        if field:
            blocks.append(Text(part[field]))
        else:
            blocks.append(media.read_input(part, f"{path}[{index}]"))
    return tuple(blocks)
