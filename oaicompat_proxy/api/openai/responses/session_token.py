"""The token by which a stateless client's next request finds its session again.

It is the `encrypted_content` of reasoning items. Clients with `store: false` send the reasoning items of all earlier
answers back, as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..schema.response_items import type_of

MAX_TOKEN = 256
"""Characters of a token. OpenAI's own reasoning, which a client may bring along, has thousands."""


def find_token(items: str | Sequence[Mapping[str, Any]]) -> str:
    """The newest one, or what stands in its place; empty if there is none. `items`: the checked `input`."""
    for item in reversed(items if not isinstance(items, str) else ()):
        if type_of(item) == "reasoning":
            content = item.get("encrypted_content")
            return content if type(content) is str and len(content) <= MAX_TOKEN else ""
    return ""
