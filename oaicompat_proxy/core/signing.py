"""HMAC keys for session names, conversation fingerprints and ids of tool calls.

New signatures use the newest key. Verification tries all keys, so a secret can be replaced while old signatures are in
use. Without the secret nobody can forge or guess the names and ids of another caller.
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
    """Secrets, the newest first."""

    def __init__(self, values: Iterable[bytes]) -> None:
        """`values`: at least one."""
        self.values = tuple(values)

    def prefer(self, value: bytes) -> None:
        """Makes `value` the newest secret; signatures of the others stay valid."""
        self.values = (value, *(each for each in self.values if each != value))


class SigningKeys:
    """Keys derived from secrets for one purpose, so that two gateways with the same secrets have different keys."""

    def __init__(self, secrets: Secrets, purpose: str = "") -> None:
        self._secrets = secrets
        self._purpose = purpose.encode()
        # state
        self._derived_from: tuple[bytes, ...] = ()
        self._keys: tuple[bytes, ...] = ()

    @property
    def all(self) -> tuple[bytes, ...]:
        if self._derived_from is not self._secrets.values:
            self._derived_from = self._secrets.values
            self._keys = tuple(_derive(secret, self._purpose) for secret in self._derived_from)
        return self._keys

    @property
    def newest(self) -> bytes:
        return self.all[0]

    def sign(self, *parts: Any) -> str:
        """A signature of 32 letters, digits, `-` and `_`. `parts`: JSON values."""
        return _sign(self.newest, parts)

    def verify(self, signature: str, *parts: Any) -> bool:
        """Whether one of the keys has signed these parts."""
        given = signature.encode("utf-8", "surrogatepass")
        return any(hmac.compare_digest(given, _sign(key, parts).encode()) for key in self.all)


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return hashlib.sha256(b"oaicompat-proxy\0" + secret + (purpose and b"\0" + purpose)).digest()


def _sign(key: bytes, parts: Sequence[Any]) -> str:
    digest = hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).digest()[:_SIGNATURE]
    return base64.urlsafe_b64encode(digest).decode()
