"""What a model is, as clients are told: the words that all dialects, APIs and the settings share."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model. Empty and None: nobody has said it, and clients are told nothing."""

    name: str = ""
    """For people."""
    description: str = ""
    context_length: int | None = None
    """Tokens of a conversation, with its answer."""
    max_output_tokens: int | None = None
    """Tokens of one answer."""
    input_modalities: tuple[str, ...] | None = None
    """Among `MODALITIES`."""
    tools: bool | None = None
    """Whether the model calls tools of the client."""

    def overridden_by(self, other: ModelInfo) -> ModelInfo:
        """This information, with what `other` knows in its place."""
        return replace(self, **other.known())

    def known(self) -> dict[str, Any]:
        """What is known, by the names of the fields."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value not in ("", None)}


MODALITIES = ("text", "image", "audio", "video", "file")
"""What a model may take, in OpenRouter's words."""

UNKNOWN = ModelInfo()


class Model(NamedTuple):
    """A model that clients may choose."""

    id: str
    info: ModelInfo = UNKNOWN
