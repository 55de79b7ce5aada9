"""The `[model_info."NAME"]` tables of the settings file: the description of a model for clients."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..core.model_info import ModelInfo
from .fields import field, validate
from .types import Modalities, PositiveCount, Separator, Switch

MODEL_INFO = "model_info"
"""The name of the tables, and of the field of Config with their values."""

MAX_SHOWN_NAME = 100
"""Characters of a model's name or of a key that a message quotes, at most."""


@dataclass(frozen=True, kw_only=True)
class ModelInfoTable:
    """The keys of one table."""

    description: Separator = field("", "What the model is for.")
    context_length: PositiveCount = field(0, "Tokens of a conversation, with its answer.")
    max_output_tokens: PositiveCount = field(0, "Tokens of one answer.")
    input_modalities: Modalities = field((), "What it takes: `text`, `image`, `audio`, `video`, `file`.")
    tools: Switch = field(False, "Whether it calls tools of the client.")


_KEYS = {each.name: each for each in fields(ModelInfoTable)}


def parse_model_info(tables: object, errors: list[tuple[str, str]], prefix: str = "") -> dict[str, ModelInfo]:
    """The valid tables by the name or pattern of a model.

    The location and the text of each error are added to `errors`. `prefix`: of the locations.
    """
    place = prefix + MODEL_INFO
    if not isinstance(tables, Mapping):
        errors.append((place, f'{MODEL_INFO} must be tables: [{MODEL_INFO}."NAME"]'))
        return {}
    found = {}
    for name, table in tables.items():
        if isinstance(table, Mapping):
            found[name] = ModelInfo(**dict(_values(name, table, errors, f"{place}.{name}")))
        else:
            text = f'{MODEL_INFO}.{name[:MAX_SHOWN_NAME]} must stand in the table of a model: [{MODEL_INFO}."NAME"]'
            errors.append((f"{place}.{name}", text))
    return found


def _values(
    name: str, table: Mapping[str, Any], errors: list[tuple[str, str]], place: str
) -> Iterator[tuple[str, Any]]:
    shown = f'{MODEL_INFO}."{name[:MAX_SHOWN_NAME]}"'
    for key, value in table.items():
        try:
            yield key, _value(key, value)
        except ValueError as error:
            errors.append((f"{place}.{key}", f"{shown}: {error}"))


def _value(key: str, value: object) -> Any:
    if key not in _KEYS:
        key = key[:MAX_SHOWN_NAME]
        nearest = difflib.get_close_matches(key.replace("-", "_").lower(), _KEYS, 1)
        raise ValueError(
            f"there is no key {key}" + (f"; did you mean {nearest[0]}?" if nearest else f", only {', '.join(_KEYS)}")
        )
    try:
        return validate(_KEYS[key], value)
    except ValueError as error:
        raise ValueError(f"{key} {error}") from None
