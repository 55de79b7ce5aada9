"""The keys of stored entries, which do not reveal the caller, and the bound of the bytes that one request reads."""

from __future__ import annotations

import hashlib

from ...core.caller import MARK_LENGTH, owner_mark
from ...core.errors import InvalidRequest

_PART = "\0"
"""Between a scope and the name of a part of its entries."""


def scope_key(scope: str) -> str:
    """Digests of the caller, the part and the scope. Keys of one API key's users begin with the same digits."""
    owner, _, part = scope.partition(_PART)
    return owner_mark(owner)[:MARK_LENGTH] + _digest(part)[:MARK_LENGTH] + _digest(scope)[: 2 * MARK_LENGTH]


def scope_keys(scope: str, *, with_users: bool) -> str:
    """The key of a scope; `with_users`: the prefix for the scope of an API key and the scopes of its users."""
    return scope_key(scope)[: 2 * MARK_LENGTH if with_users else None]


def part_of(scope: str, part: str) -> str:
    """The scope of entries that are stored beside a caller's answers, with bounds of their own."""
    return f"{scope}{_PART}{part}"


def entry_key(scope: str, name: str) -> str:
    return _digest(f"{scope}\0{name}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def rest_of(max_bytes: int, size: int) -> int:
    if size > max_bytes:
        raise InvalidRequest(
            "The request refers to more earlier output than this server accepts; refer to less, or send its text.",
            param="input",
            code="string_above_max_length",
        )
    return max_bytes - size
