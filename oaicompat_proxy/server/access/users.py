"""Finds the user of a request, and the word for a user in logs and traces. Pure.

A header can be sent by anyone, so it is believed only from trusted connections and keys. A field of the body belongs to
the holder of the key, who answers for what stands there.
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
"""Letters of a user's hash in logs: 96 bits, so that no two users have the same."""

CACHE_SIZE = 1024
"""Addresses of which it is remembered whether they are trusted, and users of whom callers and labels are."""

HEADER, CLAIM = "header:", "jwt:"
"""Before the name in a place."""


class Users:
    """Finds users where the setting `user_from` says, and words them as `log_users` says."""

    def __init__(self, config: Config, keys: SigningKeys) -> None:
        """`keys`: of the hashes."""
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
        """The word for a user in logs and traces; empty: none."""
        if self._form == "hash":
            return self._hash(user, self._keys.newest)
        return user if self._form == "plain" else ""

    def identify(self, caller: Caller, headers: CIMultiDictProxy[str], peer: str) -> Caller:
        """The caller in the scope of the user that a header names, if it is trusted. Raises InvalidRequest."""
        if caller.user:
            return caller
        user = self._in_headers(headers, caller, peer)
        return self._in_scope(caller, user) if user else caller

    def _in_scope(self, caller: Caller, user: str) -> Caller:
        """A caller with credentials is not kept longer than its request."""
        return self._for_user(caller, user) if caller.authorization is None else caller.for_user(user)

    def _in_headers(self, headers: CIMultiDictProxy[str], caller: Caller, peer: str) -> str:
        """`peer`: the address of the connection's other end. Raises InvalidRequest, also for a header that comes twice:
        a proxy in between may have added its own to the client's.
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
        """The caller in the scope of the user that a claim names. `claims`: of a token that was verified.

        Raises InvalidRequest.
        """
        for name in self._claims:
            value = claims.get(name)
            if isinstance(value, str) and (user := value.strip()):
                return self._in_scope(caller, _checked(user, name))
        return caller

    def in_fields(self, caller: Caller, look_up: Callable[[str], object]) -> Caller:
        """The caller in the scope of the user in the first field that names one. `look_up`: a field's value.

        The bearer of a token is not asked where the token should tell. Raises InvalidRequest.
        """
        if caller.user or (self._claims and isinstance(caller, TokenCaller)):
            return caller
        for name in self._fields:
            value = look_up(name)
            if isinstance(value, str) and (user := value.strip()):
                return self._in_scope(caller, _checked(user, name))
        return caller


def _checked(user: str, place: str) -> str:
    """Raises InvalidRequest for a name that is too long, or no text: with half a character of UTF-16, as JSON can write
    it, or with a byte of a header that is no UTF-8. Its bytes could be those of another name.
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
