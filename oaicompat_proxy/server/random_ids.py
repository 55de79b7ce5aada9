"""Random ids of requests, responses and sessions.

os.urandom is a system call and a request needs four ids, so they are made many at a time. A forked process drops the
ids that it inherited.
"""

from __future__ import annotations

import base64
import os

BATCH = 256
"""Ids that are made at a time."""

_ids: list[str] = []
_secrets: list[str] = []
os.register_at_fork(after_in_child=_ids.clear)
os.register_at_fork(after_in_child=_secrets.clear)


def new_id() -> str:
    """32 hexadecimal digits."""
    if not _ids:
        _ids.extend(os.urandom(16 * BATCH).hex(" ", 16).split())
    return _ids.pop()


def new_secret() -> str:
    """32 letters, digits, `-` and `_`, with 192 random bits: nobody can guess one."""
    if not _secrets:
        text = base64.urlsafe_b64encode(os.urandom(24 * BATCH)).decode()
        _secrets.extend(text[start : start + 32] for start in range(0, len(text), 32))
    return _secrets.pop()
