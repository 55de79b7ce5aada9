"""Fields of AG-UI's JSON, read so that `null` and what has the wrong type count as absent.

Source: AG-UI 1.0, `ag-ui-protocol`; producers of the 0.x age write `null` for what 1.0 leaves out.
"""

from __future__ import annotations

import json
from typing import Any

from ...events import Usage

Data = dict[str, Any]

MOST_COUNTED = 2**53 - 1
"""The largest integer that JavaScript holds exactly."""


def text_of(data: Data, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def objects_of(data: Data, key: str) -> list[Data]:
    """The objects in a list."""
    value = data.get(key)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def plain(content: Any) -> str:
    """What a person would read of a result: its text, the text of its parts, or its JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return " ".join(text_of(part, "text") or f"[{text_of(part, 'type')}]" for part in content)
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def usage_of(data: Data) -> Usage | None:
    """The sum over all models; input includes what was cached, and output what was reasoned."""
    entries = objects_of(data, "usage")
    if not any(_count(entry, key) is not None for entry in entries for key in _TOKENS):
        return None
    used, made = _sum(entries, "inputTokens") or 0, _sum(entries, "outputTokens") or 0
    total = sum(_count(entry, "totalTokens") or _together(entry) for entry in entries)
    return Usage(
        used, made, min(total, MOST_COUNTED), _sum(entries, "reasoningTokens"), _sum(entries, "cachedInputTokens")
    )


_TOKENS = ("inputTokens", "outputTokens", "totalTokens")


def _together(entry: Data) -> int:
    return (_count(entry, "inputTokens") or 0) + (_count(entry, "outputTokens") or 0)


def _sum(entries: list[Data], key: str) -> int | None:
    counts = [count for entry in entries if (count := _count(entry, key)) is not None]
    return min(sum(counts), MOST_COUNTED) if counts else None


def _count(entry: Data, key: str) -> int | None:
    """A count that can be: no fraction, not negative, and exact in every client's numbers."""
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_COUNTED:
        return None
    return int(value) if value == int(value) else None
