"""The JSON that a request to one of OpenAI's APIs wants as the answer's text.

Source: `api/openai/PROTOCOL.md`, "Chat request"; OpenAI's error for an invalid schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.request import AnswerFormat

MAX_QUOTED = 64
"""Characters of a format's name in an error; OpenAI's service takes as many."""


def find_format(wanted: Any, described: Any, param: str) -> AnswerFormat | None:
    """`wanted`: an object whose `type` names the format. `described`: the object with the schema and its name; `param`:
    its place in the request.
    """
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "json_object":
        return AnswerFormat(None, param, "")
    if kind != "json_schema" or not isinstance(described, Mapping):
        return None
    name, schema = str(described.get("name", ""))[:MAX_QUOTED], described.get("schema")
    return AnswerFormat(True if schema is None else schema, f"{param}.schema", f"Invalid schema for {name!r}: ")
