"""Reads fields of events that `schema.check` has accepted; `null` counts as absent.

Source: AG-UI 1.0, `ag-ui-protocol`; producers of versions 0.x write `null` where 1.0 leaves a field out.
"""

from __future__ import annotations

import json
from typing import Any

from ...core.events import Usage
from .schema import MAX_SAFE_INTEGER, is_count

Data = dict[str, Any]

_DETAILS = ("reasoningTokens", "cachedInputTokens", "cacheWriteInputTokens")


def text_of(data: Data, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def objects_of(data: Data, key: str) -> list[Data]:
    """The objects in a list."""
    value = data.get(key)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def plain_text(content: Any) -> str:
    """A result as text for people: its text, its text parts joined, or its JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content and all(isinstance(part, dict) and "type" in part for part in content):
        return "".join(text_of(part, "text") for part in content if part["type"] == "text")
    return "" if content in (None, []) else json.dumps(content, ensure_ascii=False)


def value_of_json(text: str) -> Any:
    """The value of a JSON text; any other text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def usage_of(data: Data) -> Usage | None:
    """The sum over all models. Input includes cached tokens, and output includes reasoning tokens.

    An absent count is unknown, and so is each sum with an unknown part. None if input, output or total is unknown.
    """
    entries = objects_of(data, "usage")
    totals = [_complete(entry) for entry in entries]
    used, made, total = (_sum([each[place] for each in totals]) for place in range(3))
    if used is None or made is None or total is None:
        return None
    return Usage(used, made, total, *(_sum([_count(entry, key) for entry in entries]) for key in _DETAILS))


def _complete(entry: Data) -> tuple[int | None, int | None, int | None]:
    """Input, output and total. By the protocol's accounting each follows from the other two."""
    used, made, total = (_count(entry, key) for key in ("inputTokens", "outputTokens", "totalTokens"))
    if used is not None and made is not None:
        return used, made, used + made if total is None else total
    if total is not None and used is not None and total >= used:
        return used, total - used, total
    if total is not None and made is not None and total >= made:
        return total - made, made, total
    return used, made, total


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return min(sum(known), MAX_SAFE_INTEGER) if known and len(known) == len(counts) else None


def _count(entry: Data, key: str) -> int | None:
    value = entry.get(key)
    return int(value) if value is not None and is_count(value) else None
