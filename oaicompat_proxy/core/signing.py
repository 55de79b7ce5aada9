"""The keys of everything that is signed or hashed here: names of sessions, conversations, ids of tool calls. Pure.

What is made is signed with the newest key, what comes back is compared with all of them, so that a secret can be
replaced without a gap. Nobody who lacks the secret can make, or guess, what belongs to another caller.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from typing import Any

_SIGNATURE = 24
"""Bytes of a signature in an id: 192 bits, which are 32 letters."""


class Secrets:
    """Secret texts or bytes, the newest first."""

    def __init__(self, values: Iterable[bytes]) -> None:
        """At least one."""
        self.values = tuple(values)

    def prefer(self, value: bytes) -> None:
        """Signs from now on; what the others have signed still reads."""
        self.values = (value, *(each for each in self.values if each != value))


class SigningKeys:
    """Keys made of secrets for one purpose: the same secrets give other keys to another gateway."""

    def __init__(self, secrets: Secrets, purpose: str = "") -> None:
        self._secrets = secrets
        self._purpose = purpose.encode()
        # moving
        self._made_of: tuple[bytes, ...] = ()
        self._keys: tuple[bytes, ...] = ()

    @property
    def all(self) -> tuple[bytes, ...]:
        if self._made_of is not self._secrets.values:
            self._made_of = self._secrets.values
            self._keys = tuple(_key_of(secret, self._purpose) for secret in self._made_of)
        return self._keys

    @property
    def newest(self) -> bytes:
        return self.all[0]

    def sign(self, *parts: Any) -> str:
        """32 letters, digits, `-` and `_`. `parts`: as JSON has them."""
        return _sign(self.newest, parts)

    def verify(self, signature: str, *parts: Any) -> bool:
        """Whether one of the keys has signed the same."""
        given = signature.encode("utf-8", "surrogatepass")
        return any(hmac.compare_digest(given, _sign(key, parts).encode()) for key in self.all)


def _key_of(secret: bytes, purpose: bytes) -> bytes:
    return hashlib.sha256(b"oaicompat-proxy\0" + secret + (purpose and b"\0" + purpose)).digest()


def _sign(key: bytes, parts: Sequence[Any]) -> str:
    digest = hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).digest()[:_SIGNATURE]
    return base64.urlsafe_b64encode(digest).decode()
