"""Stored values with a checksum in front: a damaged value is recognised before it is read, and counts as missing.

A file or Redis may lose a part of a value, and another program may overwrite it. The checksum includes the key, so a
value under another value's key is damaged, too. It protects from accidents, not from forgery.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

log = logging.getLogger(__name__)

_SIZE = 8
"""Bytes of a checksum."""

MAX_REPORTED = 1000
"""Damaged values that are remembered, so that not every request for one logs it."""

_reported: dict[str, None] = {}
"""The keys of damaged values that were logged, oldest first."""


def add_checksum(key: str, value: bytes) -> bytes:
    return _checksum(key, value) + value


def check(key: str, stored: Any) -> bytes | None:
    """The value without its checksum; None if it is damaged. `stored`: whatever the store has under the key."""
    if isinstance(stored, bytes):
        value = stored[_SIZE:]
        if stored[:_SIZE] == _checksum(key, value):
            return value
    report_damage(key)
    return None


def report_damage(key: str) -> None:
    """Logs once that the value of this key is damaged."""
    if key in _reported:
        return
    _reported[key] = None
    while len(_reported) > MAX_REPORTED:
        del _reported[next(iter(_reported))]
    log.warning("what is stored as %s is damaged and is not used", key)


def _checksum(key: str, value: bytes) -> bytes:
    digest = hashlib.blake2b(key.encode(), digest_size=_SIZE)
    digest.update(value)
    return digest.digest()
