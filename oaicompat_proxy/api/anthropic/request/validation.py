"""Faults in a request's shape, as Anthropic words them: `messages.0.content.1.text: Field required`.

Source: `api/anthropic/PROTOCOL.md`, "Errors". The service's words are pydantic's, and so are these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Discriminator, TypeAdapter, ValidationError

from ....core.errors import InvalidRequest

MAX_QUOTED = 64
"""Characters of a client's value that a message repeats."""

TAG = "|"
"""The first character of a union branch's name in pydantic's `loc`; such a step is left out of paths."""


def check(schema: TypeAdapter[Any], body: Mapping[str, Any]) -> None:
    """Raises InvalidRequest with the first fault of `body`."""
    try:
        schema.validator.validate_python(body, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        raise fault(_path(first["loc"]), first["msg"]) from None


def fault(path: str, reason: str, *, code: str | None = None) -> InvalidRequest:
    return InvalidRequest(f"{path}: {reason}" if path else reason, param=path or None, code=code)


def clip(value: str) -> str:
    return value if len(value) <= MAX_QUOTED else value[: MAX_QUOTED - 1] + "…"


def text_or_list() -> Discriminator:
    """For branches of a string and a list, tagged `|string` and `|list`."""
    tags: dict[type, str] = {str: f"{TAG}string", list: f"{TAG}list"}
    return Discriminator(
        lambda value: tags.get(type(value)),
        custom_error_type="text_or_list",
        custom_error_message="Input should be a valid string or a valid list",
    )


def by_type(*known: str, other: bool = False) -> Discriminator:
    """For branches of objects with different `type`, tagged `|<type>`; with `other` unknown types are `|other`."""
    tags = {value: TAG + value for value in known}

    def tag(value: Any) -> str | None:
        word = value.get("type") if type(value) is dict else None
        if type(word) is not str:
            return None
        return tags.get(word, f"{TAG}other" if other else None)

    listed = ", ".join(f"'{value}'" for value in known)
    return Discriminator(
        tag,
        custom_error_type="unknown_type",
        custom_error_message=f"Input should be an object whose 'type' is one of {listed}",
    )


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(clip(str(step)) for step in location if not str(step).startswith(TAG))
