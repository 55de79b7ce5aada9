"""Finds the user of a request, and the label of a user in logs and traces. Pure.

Anyone can send a header, so a header that names the user counts only on trusted connections or with trusted keys. A
field of the body is the responsibility of the key's holder, so it needs no trust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from multidict import CIMultiDictProxy

from ...config.settings import Config
from ...config.types import USER_FIELDS
from ...core.addresses import is_within, parse_networks
from ...core.caller import Caller, TokenCaller
from ...core.errors import InvalidRequest
from ...core.signing import SigningKeys

MAX_USER = 256
"""Characters of a user's name."""

HASH_LENGTH = 16
"""Letters of a user's hash in logs: 96 bits make equal hashes of two users unlikely."""

CACHE_SIZE = 1024
"""Entries of each cache: whether an address is trusted, callers by user, labels by user."""

HEADER, CLAIM = "header:", "jwt:"
"""Prefixes of the places in `user_from`."""


class Users:
    """Finds users by the setting `user_from`, and labels them by `log_users`."""

    def __init__(self, config: Config, keys: SigningKeys) -> None:
        """`keys`: for the hashes of users."""
        self._keys = keys
        self._form = config.log_users
        self._headers = tuple(each.removeprefix(HEADER) for each in config.user_from if each.startswith(HEADER))
        self._claims = tuple(each.removeprefix(CLAIM) for each in config.user_from if each.startswith(CLAIM))
        self._fields = tuple(each for each in config.user_from if each in USER_FIELDS)
        trusted = parse_networks(config.trust_user_from)
        self._is_trusted = lru_cache(CACHE_SIZE)(lambda address: is_within(address, trusted))
        self._for_user = lru_cache(CACHE_SIZE)(Caller.for_user)
        self._hash = lru_cache(CACHE_SIZE)(lambda user, key: keys.sign("user", user)[:HASH_LENGTH])

    def label(self, user: str) -> str:
        """The label of a user in logs and traces; empty if users are not logged."""
        if self._form == "hash":
            return self._hash(user, self._keys.newest)
        return user if self._form == "plain" else ""

    def identify(self, caller: Caller, headers: CIMultiDictProxy[str], peer: str) -> Caller:
        """The caller in the scope of the user that a trusted header names; else the caller. Raises InvalidRequest."""
        if caller.user:
            return caller
        user = self._in_headers(headers, caller, peer)
        return self._in_scope(caller, user) if user else caller

    def _in_scope(self, caller: Caller, user: str) -> Caller:
        """Caches the caller, but not one with credentials, which must not outlive its request."""
        return self._for_user(caller, user) if caller.authorization is None else caller.for_user(user)

    def _in_headers(self, headers: CIMultiDictProxy[str], caller: Caller, peer: str) -> str:
        """`peer`: the address of the connection's peer. Raises InvalidRequest, also for a repeated header: a
        proxy may have added its own to the client's.
        """
        if not self._headers or not (caller.trusts_headers or self._is_trusted(peer)):
            return ""
        for name in self._headers:
            values = headers.getall(name, ())
            if len(values) > 1:
                raise InvalidRequest(f"The header {name} names the user more than once.", param=name)
            if values and (user := values[0].strip()):
                return _checked(user, name)
        return ""

    def in_claims(self, caller: TokenCaller, claims: Mapping[str, object]) -> Caller:
        """The caller in the scope of the user that a claim names. `claims`: those of a verified token.

        Raises InvalidRequest.
        """
        for name in self._claims:
            value = claims.get(name)
            if isinstance(value, str) and (user := value.strip()):
                return self._in_scope(caller, _checked(user, name))
        return caller

    def in_fields(self, caller: Caller, look_up: Callable[[str], object]) -> Caller:
        """The caller in the scope of the user in the first field that names one. `look_up`: a field's value.

        Fields do not count for a caller with a token if the token should name the user. Raises InvalidRequest.
        """
        if caller.user or (self._claims and isinstance(caller, TokenCaller)):
            return caller
        for name in self._fields:
            value = look_up(name)
            if isinstance(value, str) and (user := value.strip()):
                return self._in_scope(caller, _checked(user, name))
        return caller


def _checked(user: str, place: str) -> str:
    """Raises InvalidRequest for a name that is too long or has a lone surrogate (from JSON, or a header that is not
    UTF-8): its bytes could be those of another name.
    """
    if len(user) > MAX_USER:
        raise InvalidRequest(
            f"Invalid '{place}': the name of a user may have {MAX_USER} characters, but got {len(user)}.",
            param=place,
            code="string_above_max_length",
        )
    if not user.isascii() and any("\ud800" <= each <= "\udfff" for each in user):
        raise InvalidRequest(f"Invalid '{place}': the name of a user must be valid Unicode.", param=place)
    return user
