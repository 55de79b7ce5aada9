"""Finds the session token in the `encrypted_content` of reasoning items, which clients with `store: false` send back
unchanged. By it their next request finds its session again; `server/sessions/session_token.py` makes and verifies it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...schema.response_items import type_of

MAX_TOKEN = 256
"""Characters of a token. The `encrypted_content` of OpenAI's own service, which a client may send, has thousands."""


def find_token(items: str | Sequence[Mapping[str, Any]]) -> str:
    """The `encrypted_content` of the newest reasoning item, if it may be a token; else empty. `items`: the checked
    `input`.
    """
    for item in reversed(items if not isinstance(items, str) else ()):
        if type_of(item) == "reasoning":
            content = item.get("encrypted_content")
            return content if type(content) is str and len(content) <= MAX_TOKEN else ""
    return ""
