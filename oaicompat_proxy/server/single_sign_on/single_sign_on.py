"""Single sign-on: the bearer of a token of the issuer is the caller that the token's claims name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from ...config.settings import Config
from ...core.caller import Caller, TokenCaller
from ...core.errors import InvalidRequest, InvalidToken
from ..access.api_keys import bearer_of
from ..access.authenticator import Authenticator
from ..access.users import Users
from .issuer_keys import Issuers
from .tokens import Head, IssuerKey, check_expiry, looks_like_token, read_head, verify

MAX_NAME = 128
"""Characters of a key's name in a claim."""

MAX_GRANTED = 1000
"""Models of one token."""


CACHE_SIZE = 256
"""Entries of the cache of callers by name and granted models."""

MAX_VERIFIED = 1024
"""Cached verifications, by the digest of the token."""


class VerifiedToken(NamedTuple):
    """A token whose signature was verified."""

    head: Head
    key: IssuerKey
    """The key that has signed the token; another object after each fetch."""
    claims: Mapping[str, Any]


class SingleSignOn:
    """Identifies callers by tokens."""

    def __init__(self, config: Config, authenticator: Authenticator, users: Users | None, issuers: Issuers) -> None:
        self._config = config
        self._authenticator = authenticator
        self._users = users
        self.keys = issuers.keys_of(config.jwt_issuer, config.jwt_jwks)
        self._key_claims = (config.jwt_key_claim,) if config.jwt_key_claim else ("azp", "client_id")
        self._bearer_of = lru_cache(CACHE_SIZE)(TokenCaller.of)
        # state
        self._verified: dict[bytes, VerifiedToken] = {}
        """Cached verifications by the digest of the token, the oldest first."""

    @property
    def verified(self) -> int:
        """Number of tokens whose verification is cached."""
        return len(self._verified)

    async def identify(self, headers: Mapping[str, str]) -> Caller | None:
        """The caller of a request with a token; None if it has none. Raises InvalidToken, IssuerUnavailable."""
        token = bearer_of(headers)
        if not looks_like_token(token):
            return None
        return self._authenticator.with_authorization(self._caller_of(await self._claims_of(token)), headers)

    async def _claims_of(self, token: str) -> Mapping[str, Any]:
        """The claims of a token. The result is cached per key object: a verification costs half a request.

        Raises InvalidToken, IssuerUnavailable.
        """
        config, digest = self._config, hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._verified.get(digest)
        head = read_head(token) if known is None else known.head
        key = await self.keys.find(head, ttl=config.jwt_keys_ttl)
        if key is None:
            raise InvalidToken("The token is signed with a key that the issuer does not have.")
        if known is not None and known.key is key:
            check_expiry(known.claims)
            return known.claims
        claims = verify(token, head, key, issuer=config.jwt_issuer, audience=config.jwt_audience)
        self._remember(digest, VerifiedToken(head, key, claims))
        return claims

    def _remember(self, digest: bytes, verified: VerifiedToken) -> None:
        self._verified.pop(digest, None)
        if len(self._verified) >= MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = verified

    def _caller_of(self, claims: Mapping[str, Any]) -> Caller:
        known = self._authenticator.caller_named(self._name_in(claims))
        caller = self._bearer_of(known, self._granted_in(claims))
        if self._users is None:
            return caller
        try:
            return self._users.in_claims(caller, claims)
        except InvalidRequest:
            raise InvalidToken("The token's user has a name that is too long or no text.") from None

    def _name_in(self, claims: Mapping[str, Any]) -> str:
        for claim in self._key_claims:
            name = claims.get(claim)
            if isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable():
                return name
        raise InvalidToken(f"The token has no claim {' or '.join(self._key_claims)} that could name a key.")

    def _granted_in(self, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
        if not self._config.jwt_models_claim:
            return None
        value = claims.get(self._config.jwt_models_claim, ())
        patterns = value.split() if isinstance(value, str) else value if isinstance(value, list) else ()
        return tuple(each for each in patterns[:MAX_GRANTED] if isinstance(each, str))
