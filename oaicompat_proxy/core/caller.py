"""The caller of a request and its permissions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import NamedTuple, Self

from .budget import Budget


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of a key, or an anonymous client. A limit of 0 means no limit."""

    name: str
    """For logs and metrics; empty for anonymous clients."""
    scope: str
    """Separates callers and their users: no scope reaches the sessions, ids and stored answers of another."""
    requests_per_minute: int = 0
    max_runs: int = 0
    models: tuple[str, ...] = ()
    """Patterns of the models that the caller may use; empty for all."""
    native_sessions: bool = False
    """The caller may name the gateway's own sessions, if the setting `session_names` allows it."""
    may_forget: bool = False
    """The caller may list and delete the stored data of other callers."""
    trusts_headers: bool = False
    """A header may name the caller's user, whatever address the request comes from."""
    user: str = field(default="", repr=False)
    """The person for whom the request is made, if the setting `user_from` finds one."""
    inspect: bool = False
    """The caller may use the page that shows runs."""
    budget: Budget | None = None
    """The key's budget."""
    user_budget: Budget | None = None
    """The budget of each user of the key."""
    counted: bool = False
    """The caller's tokens and runs are counted, because it has a budget."""
    may_see_usage: bool = False
    """The caller may see the usage of all callers."""
    authorization: str | None = field(default=None, repr=False)
    """The client's `Authorization`, if the gateway gets it; None if the gateway gets the proxy's token."""

    def for_user(self, user: str) -> Self:
        """The caller in a scope of this user's own."""
        return replace(self, user=user, scope=user_scope(self.scope, user))

    def may_use(self, model: str) -> bool:
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class TokenCaller(Caller):
    """The bearer of an identity provider's token."""

    granted: tuple[str, ...] | None = None
    """Patterns of the models that the token allows, among those of its key; None for all of them."""

    @classmethod
    def of(cls, caller: Caller, granted: tuple[str, ...] | None) -> Self:
        """The bearer of a token, with the permissions of this caller."""
        return cls(**{each.name: getattr(caller, each.name) for each in fields(Caller)}, granted=granted)

    def may_use(self, model: str) -> bool:
        granted = self.granted is None or any(fnmatchcase(model, pattern) for pattern in self.granted)
        return granted and Caller.may_use(self, model)


MARK_LENGTH = 16
"""64 bits, so that no two of a million callers have the same."""

_USER = "/"
"""Separates the key's scope from the user's digest in the scope of a user."""

INTERNAL_CALLER = Caller("", "")
"""For the proxy's own requests; it has no limits."""


def scope_of(authorization: str) -> str:
    """The scope for an `Authorization` header; all requests without one share a scope."""
    return _digest(authorization) if authorization else _NO_HEADER


def named_scope(name: str) -> str:
    """The scope of the callers with this name in a keys file. No header leads to it, because none contains \\0."""
    return scope_of(f"\0{name}")


def user_scope(scope: str, user: str) -> str:
    """The scope of one user of a key; it begins with the key's scope."""
    digest = _digest(f"{scope}\0user\0{user}")
    return f"{scope}{_USER}{digest}"


def owner_mark(scope: str) -> str:
    """A digest of the caller, for the names of stored data: the key's part and the user's part, each of MARK_LENGTH
    hexadecimal digits. The caller cannot be computed from it.
    """
    return _digest(scope.partition(_USER)[0])[:MARK_LENGTH] + _digest(scope)[:MARK_LENGTH]


class Owner(NamedTuple):
    """The owner of stored data: one scope, or a key with all of its users."""

    scope: str
    with_users: bool = False

    @property
    def mark(self) -> str:
        """The owner mark, or with all users the part that their marks begin with."""
        return owner_mark(self.scope)[: MARK_LENGTH if self.with_users else None]

    def has(self, scope: str) -> bool:
        return owner_mark(scope).startswith(self.mark)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


_NO_HEADER = _digest("")
