"""API keys: who calls, and what this caller may do. Pure.

A key is kept only as its SHA-256. That is enough for keys that were drawn at random: 32 random bytes cannot be
guessed however fast the hash is, and a slow hash would cost every request what only a password needs.

The digest of what a client sent is looked up by its first bytes, then compared whole in constant time. What the
time of the look-up could tell is about a digest, and nobody can make a key for a digest.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ...core.caller import Caller, scope_of

SCHEME = "sha256:"
LONGEST_FAULT = 500
"""Characters of what is said of a file."""

BUCKET = 8
"""Bytes of a digest by which it is looked up."""

_NAME = re.compile(r"[\w.@+-]{1,64}", re.ASCII)
_HASH = re.compile(rf"(?:{SCHEME})?([0-9a-fA-F]{{64}})", re.ASCII)


class KeysError(ValueError):
    """Keys that cannot be used: the message is one line for the operator, and holds no key and no hash."""


Entry = tuple[bytes, Caller]
"""A key's digest, and whose it is."""


class Keyring:
    """Finds the caller by the key."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Raises KeysError for a key that stands there twice."""
        self._buckets: dict[bytes, list[Entry]] = {}
        self._size = 0
        for digest, caller in entries:
            bucket = self._buckets.setdefault(digest[:BUCKET], [])
            for other, owner in bucket:
                if other == digest:
                    raise KeysError(f"{owner.name} and {caller.name} have the same key")
            bucket.append((digest, caller))
            self._size += 1

    def __len__(self) -> int:
        return self._size

    def find(self, key: str) -> Caller | None:
        digest = digest_of(key)
        for known, caller in self._buckets.get(digest[:BUCKET], ()):
            if hmac.compare_digest(known, digest):
                return caller
        return None


def digest_of(key: str) -> bytes:
    """SHA-256 of the key's bytes, as a header or the command line brought them."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def presented_key(headers: Mapping[str, str]) -> str:
    """What the client shows: `Authorization: Bearer KEY`, or `x-api-key` or `api-key` as other SDKs send it.

    Empty if it shows nothing.
    """
    authorization = headers.get("Authorization")
    if authorization:
        scheme, _, key = authorization.replace("\t", " ").strip().partition(" ")
        if scheme.lower() == "bearer" and key.strip():
            return key.strip()
    return headers.get("x-api-key", "").strip() or headers.get("api-key", "").strip()


def number_keys(keys: Iterable[str], *, requests_per_minute: int, max_runs: int) -> list[Entry]:
    """Keys without names of their own. Their sessions are bound to the key itself: the numbers may change."""
    return [
        (digest, Caller(f"key-{number}", scope_of(f"\0{digest.hex()}"), requests_per_minute, max_runs))
        for number, digest in enumerate(map(digest_of, keys), 1)
    ]


def parse_keys(text: str, *, requests_per_minute: int, max_runs: int) -> list[Entry]:
    """The keys of a keys file. The limits are for entries that name none. Raises KeysError."""
    try:
        entries = _KeysFile.model_validate(tomllib.loads(text)).keys
    except tomllib.TOMLDecodeError as error:
        raise KeysError(_one_line(f"it is no TOML: {error}")) from None
    except ValidationError as error:
        raise KeysError(_one_line(_first_fault(error))) from None
    except (ValueError, RecursionError):  # what else Python's reader says of numbers of thousands of digits
        raise KeysError("it is no TOML that can be read: too deep, or a number is too long") from None
    return [
        (
            bytes.fromhex(each),
            Caller(
                name,
                scope_of(f"\0{name}"),  # no header holds \0, so nobody gets there without the key
                requests_per_minute if entry.requests_per_minute is None else entry.requests_per_minute,
                max_runs if entry.max_runs is None else entry.max_runs,
                tuple(entry.models or ()),
                entry.native_sessions,
            ),
        )
        for name, entry in entries.items()
        for each in entry.hash
    ]


def new_entry(name: str, key: str) -> str:
    """What stands in a keys file for this key. Raises KeysError for a name that cannot be."""
    try:
        _check_name(name)
    except ValueError as error:
        raise KeysError(str(error)) from None
    return f'[keys."{name}"]\nhash = "{SCHEME}{digest_of(key).hex()}"\n'


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a name has 1 to 64 letters, digits and . _ @ + -")
    return name


def _check_hash(value: str) -> str:
    found = _HASH.fullmatch(value)
    if found is None:
        raise ValueError("it must be the SHA-256 of the key, 64 hexadecimal digits, and not the key itself")
    return found[1]


LARGEST_LIMIT = 2**53

LONGEST_PATTERN = 256
"""Characters of a pattern of models, as of a model's name."""

Limit = Annotated[int, Field(ge=0, le=LARGEST_LIMIT)]
Pattern = Annotated[str, Field(min_length=1, max_length=LONGEST_PATTERN)]
Hashes = Annotated[
    list[Annotated[str, AfterValidator(_check_hash)]],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(min_length=1),
]


class _Settings(BaseModel):
    """One key. Two hashes are two keys of the same caller, so that one can be replaced without a gap."""

    model_config = ConfigDict(extra="forbid", strict=True)

    hash: Hashes
    requests_per_minute: Limit | None = None
    max_runs: Limit | None = None
    native_sessions: bool = False
    models: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=LONGEST_PATTERN)]], Field(min_length=1)] | None
    ) = None


class _KeysFile(BaseModel):
    """An empty one is a fault: so looks a file that is just being written, and nobody could call any more."""

    model_config = ConfigDict(extra="forbid", strict=True)

    keys: Annotated[dict[Annotated[str, AfterValidator(_check_name)], _Settings], Field(min_length=1)]


def _one_line(text: str) -> str:
    """For a log: whatever stands in the file."""
    words = " ".join(text.split())
    return "".join(each if each.isprintable() else "?" for each in words)[:LONGEST_FAULT]


def _first_fault(error: ValidationError) -> str:
    """Where it is and what it is; never the value, which may be a key in the wrong place."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    return " ".join(f"{where}: {fault['msg'].removeprefix('Value error, ')}".split())
