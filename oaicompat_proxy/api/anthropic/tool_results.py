"""Calls of tools and their results belong together: the service refuses messages in which they do not.

Each `tool_use` block is answered by a `tool_result` block in the next message of the user's. Messages of the role
`system` may stand between them.

Source: the service's words, `PROTOCOL.md` of this room, "Errors".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .validation import clip, fault

MAX_LISTED = 16
"""Ids that a message lists at most."""


def check_pairing(messages: Sequence[Mapping[str, Any]]) -> None:
    """Raises InvalidRequest for the first call without a result, or result without a call. `messages` are checked."""
    called: dict[str, None] = {}
    caller = 0
    for index, message in enumerate(messages):
        if message["role"] == "system":
            continue
        if message["role"] == "user":
            answered = set()
            for place, result in _blocks(message, "tool_result"):
                if result["tool_use_id"] not in called:
                    raise _unexpected(f"messages.{index}.content.{place}", result["tool_use_id"])
                answered.add(result["tool_use_id"])
            _check_answered([each for each in called if each not in answered], caller)
            called = {}
        else:
            _check_answered(list(called), caller)
            called, caller = {block["id"]: None for _, block in _blocks(message, "tool_use")}, index
    _check_answered(list(called), caller)


def _blocks(message: Mapping[str, Any], kind: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    content = message["content"]
    if not isinstance(content, str):
        yield from ((place, block) for place, block in enumerate(content) if block["type"] == kind)


def _check_answered(missing: Sequence[str], caller: int) -> None:
    if missing:
        listed = ", ".join(map(clip, missing[:MAX_LISTED]))
        raise fault(
            f"messages.{caller}",
            f"`tool_use` ids were found without `tool_result` blocks immediately after: {listed}. Each `tool_use` "
            "block must have a corresponding `tool_result` block in the next message.",
        )


def _unexpected(path: str, tool_use_id: str) -> Exception:
    return fault(
        path,
        f"unexpected `tool_use_id` found in `tool_result` blocks: {clip(tool_use_id)}. Each `tool_result` block must "
        "have a corresponding `tool_use` block in the previous message.",
    )
