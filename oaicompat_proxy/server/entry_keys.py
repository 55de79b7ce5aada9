"""The keys of stored entries, which tell nobody whose they are, and the bound of what one request reads."""

from __future__ import annotations

import hashlib

from ..core.errors import InvalidRequest


def scope_key(scope: str) -> str:
    """Of all entries of a caller; nobody can read the caller from it."""
    return hashlib.sha256(scope.encode("utf-8", "surrogatepass")).hexdigest()


def part_of(scope: str, part: str) -> str:
    """The scope of what is stored beside a caller's answers; it has bounds of its own, and takes them no room."""
    return f"{scope}\0{part}"


def entry_key(scope: str, name: str) -> str:
    return hashlib.sha256(f"{scope}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()


def rest_of(most: int, size: int) -> int:
    if size > most:
        raise InvalidRequest(
            "The request refers to more earlier output than this server accepts; refer to less, or send its text.",
            param="input",
            code="string_above_max_length",
        )
    return most - size
