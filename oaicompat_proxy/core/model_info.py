"""The description of a model in lists of models; dialects, APIs and settings share these types."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The known properties of a model. Empty and None mean unknown, and are left out of lists."""

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
        """A copy in which the known fields of `other` replace this one's."""
        return replace(self, **other.known())

    def known(self) -> dict[str, Any]:
        """The known values by field name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value not in ("", None)}


MODALITIES = ("text", "image", "audio", "video", "file")
"""The kinds of input that a model may accept, by OpenRouter's names."""

UNKNOWN = ModelInfo()


class Model(NamedTuple):
    """A model that clients may choose."""

    id: str
    info: ModelInfo = UNKNOWN
