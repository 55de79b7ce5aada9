"""Random ids of requests, responses and sessions."""

from __future__ import annotations

import os
import secrets


def new_id() -> str:
    """32 hexadecimal digits."""
    return os.urandom(16).hex()


def new_secret() -> str:
    """32 letters, digits, `-` and `_`, with 192 random bits: nobody can guess one."""
    return secrets.token_urlsafe(24)
