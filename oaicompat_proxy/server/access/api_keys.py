"""API keys: maps a key to its caller, with the caller's limits and permissions. Pure.

A key is stored only as its SHA-256. A fast hash is enough for random keys: 32 random bytes cannot be guessed. A slow
hash, as passwords need it, would cost every request.

The digest of a client's key is looked up by its first bytes and then compared in constant time. The time of the look-up
may reveal bytes of a stored digest, but no key can be computed from these.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ...core.budget import Budget
from ...core.caller import Caller, named_scope, scope_of

SCHEME = "sha256:"
MAX_ERROR = 500
"""Characters of an error message about a keys file."""

PREFIX_BYTES = 8
"""First bytes of a digest, by which it is looked up."""

_NAME = re.compile(r"[\w.@+-]{1,64}", re.ASCII)
_HASH = re.compile(rf"(?:{SCHEME})?([0-9a-fA-F]{{64}})", re.ASCII)


class KeysError(ValueError):
    """Invalid keys. The message is one line for the operator and contains no key and no hash."""


KeyEntry = tuple[bytes, Caller]
"""A key's digest, and its caller; the digest is empty if the caller has no key, but tokens."""


class ApiKeys:
    """Finds the caller by the key."""

    def __init__(self, entries: Iterable[KeyEntry]) -> None:
        """Raises KeysError if two entries have the same key."""
        self._buckets: dict[bytes, list[KeyEntry]] = {}
        self._size = 0
        self._named: dict[str, Caller] = {}
        """The callers of a keys file."""
        for digest, caller in entries:
            if caller.scope == named_scope(caller.name):
                self._named[caller.name] = caller
            if not digest:
                continue
            bucket = self._buckets.setdefault(digest[:PREFIX_BYTES], [])
            for other, owner in bucket:
                if other == digest:
                    raise KeysError(f"{owner.name} and {caller.name} have the same key")
            bucket.append((digest, caller))
            self._size += 1

    def __len__(self) -> int:
        return self._size

    def callers(self) -> Iterator[Caller]:
        """The callers of all entries, also of those without a key. A caller with two keys comes twice."""
        yield from self._named.values()
        for bucket in self._buckets.values():
            yield from (caller for _, caller in bucket)

    def inspectors(self) -> Iterator[KeyEntry]:
        """The entries whose keys may use the inspector."""
        for bucket in self._buckets.values():
            yield from (entry for entry in bucket if entry[0] and entry[1].inspect)

    def find(self, key: str) -> Caller | None:
        digest = digest_of(key)
        for known, caller in self._buckets.get(digest[:PREFIX_BYTES], ()):
            if hmac.compare_digest(known, digest):
                return caller
        return None

    def named(self, name: str) -> Caller | None:
        """The caller with this name in the keys file."""
        return self._named.get(name)

    def scopes_of(self, name: str) -> set[str]:
        """The scopes of all callers of this name."""
        entries = (entry for bucket in self._buckets.values() for entry in bucket)
        return {caller.scope for _, caller in entries if caller.name == name}


def digest_of(key: str) -> bytes:
    """SHA-256 of the key's bytes, as received in a header or on the command line."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def presented_key(headers: Mapping[str, str]) -> str:
    """The client's key: from `Authorization: Bearer KEY`, or from `x-api-key` or `api-key`, which other SDKs send.

    Empty if the request has none.
    """
    return bearer_of(headers) or other_key_of(headers)


def other_key_of(headers: Mapping[str, str]) -> str:
    """The key in a header of its own; empty if there is none."""
    return headers.get("x-api-key", "").strip() or headers.get("api-key", "").strip()


def bearer_of(headers: Mapping[str, str]) -> str:
    """The credentials of `Authorization: Bearer`; empty if there are none."""
    authorization = headers.get("authorization")
    if authorization:
        scheme, _, key = authorization.replace("\t", " ").strip().partition(" ")
        if scheme.lower() == "bearer":
            return key.strip()
    return ""


def number_keys(keys: Iterable[str], *, requests_per_minute: int, max_runs: int) -> list[KeyEntry]:
    """Entries of keys without a name. Their sessions are bound to the key, because the numbers may change."""
    return [
        (digest, Caller(f"key-{number}", scope_of(f"\0{digest.hex()}"), requests_per_minute, max_runs))
        for number, digest in enumerate(map(digest_of, keys), 1)
    ]


def parse_keys(text: str, *, requests_per_minute: int, max_runs: int, tokens: bool = False) -> list[KeyEntry]:
    """The entries of a keys file. The limits are the defaults of entries. `tokens`: an entry needs no hash, because a
    token's claims may name it. Raises KeysError.
    """
    try:
        entries = _KeysFile.model_validate(tomllib.loads(text)).keys
    except tomllib.TOMLDecodeError as error:
        raise KeysError(_one_line(f"it is no TOML: {error}")) from None
    except ValidationError as error:
        raise KeysError(_one_line(_first_error(error))) from None
    except (ValueError, RecursionError):  # numbers of thousands of digits, deep nesting
        raise KeysError("it is no valid TOML: nested too deeply, or a number is too long") from None
    if missing := [name for name, entry in entries.items() if not (entry.hash or tokens)]:
        raise KeysError(f"keys.{missing[0]}.hash: {_REASONS['missing']}")
    return [
        (bytes.fromhex(each), _caller(name, entry, requests_per_minute, max_runs))
        for name, entry in entries.items()
        for each in entry.hash or [""]
    ]


def _caller(name: str, entry: _Settings, requests_per_minute: int, max_runs: int) -> Caller:
    return Caller(
        name,
        named_scope(name),
        requests_per_minute if entry.requests_per_minute is None else entry.requests_per_minute,
        max_runs if entry.max_runs is None else entry.max_runs,
        models=tuple(entry.models or ()),
        native_sessions=entry.native_sessions,
        inspect=entry.inspect,
        may_forget=entry.forget,
        trusts_headers=entry.trusts_headers,
        budget=_budget(entry.budget),
        user_budget=_budget(entry.user_budget),
        counted=entry.budget is not None or entry.user_budget is not None,
        may_see_usage=entry.usage,
    )


def _budget(entry: _Budget | None) -> Budget | None:
    return None if entry is None else Budget(**entry.model_dump())


def new_entry(name: str, key: str) -> str:
    """The entry of a keys file for this key. Raises KeysError for an invalid name."""
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


MAX_LIMIT = 2**53

MAX_PATTERN = 256
"""Characters of a pattern of models, as of a model's name."""

Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
PositiveLimit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN)]
Hashes = Annotated[
    list[Annotated[str, AfterValidator(_check_hash)]],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(min_length=1),
]


class _Budget(BaseModel):
    """An entry's budget. Without limits the caller's usage is only counted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tokens_per_day: PositiveLimit | None = None
    tokens_per_month: PositiveLimit | None = None
    runs_per_day: PositiveLimit | None = None
    runs_per_month: PositiveLimit | None = None


class _Settings(BaseModel):
    """One key. Two hashes are two keys of the same caller, so that one can be replaced without a gap."""

    model_config = ConfigDict(extra="forbid", strict=True)

    hash: Hashes | None = None
    requests_per_minute: Limit | None = None
    max_runs: Limit | None = None
    native_sessions: bool = False
    forget: bool = False
    trusts_headers: bool = False
    inspect: bool = False
    budget: _Budget | None = None
    user_budget: _Budget | None = None
    usage: bool = False
    models: Annotated[list[Pattern], Field(min_length=1)] | None = None


class _KeysFile(BaseModel):
    """An empty file is an error: it is probably half written, and would lock all clients out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    keys: Annotated[dict[Annotated[str, AfterValidator(_check_name)], _Settings], Field(min_length=1)]


def _one_line(text: str) -> str:
    """The text as one printable line, for a log."""
    words = " ".join(text.split())
    return "".join(each if each.isprintable() else "?" for each in words)[:MAX_ERROR]


_REASONS = {"missing": "it is missing", "extra_forbidden": "there is no setting of this name"}
"""Words for an operator, for errors that pydantic words for programmers, by its type of the error."""


def _first_error(error: ValidationError) -> str:
    """Path and reason of the first error, without the value: it may be a misplaced key."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if (where, first["type"]) == ("keys", "missing"):
        return "it has no table [keys.NAME]; oaicompat-proxy --new-key NAME prints one"
    reason = _REASONS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return " ".join(f"{where}: {reason}".split())
