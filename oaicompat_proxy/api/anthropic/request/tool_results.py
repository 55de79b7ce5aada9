"""Checks that each tool call has a result and each result a call; the service rejects other messages.

Each `tool_use` block is answered by one `tool_result` block before the assistant says anything else. Messages of one
role that follow each other count as one, and messages of the role `system` may stand between them.

Source: the service's words, `api/anthropic/PROTOCOL.md`, "Errors".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .validation import clip, fault

MAX_LISTED = 16
"""Ids in an error message, at most."""


def check_pairing(messages: Sequence[Mapping[str, Any]]) -> None:
    """Raises InvalidRequest for the first call without a result, or result without a call. `messages` are checked."""
    unanswered: dict[str, int] = {}
    """The index of the message with each call, by the call's id."""
    is_answering = False
    for index, message in enumerate(messages):
        if message["role"] == "user":
            is_answering = True
            for place, result in _blocks(message, "tool_result"):
                if unanswered.pop(result["tool_use_id"], None) is None:
                    raise _unexpected(f"messages.{index}.content.{place}", result["tool_use_id"])
        elif message["role"] == "assistant":
            if is_answering:
                _check_answered(unanswered)
            is_answering = False
            unanswered |= {block["id"]: index for _, block in _blocks(message, "tool_use")}
    _check_answered(unanswered)


def _blocks(message: Mapping[str, Any], kind: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    content = message["content"]
    if not isinstance(content, str):
        yield from ((place, block) for place, block in enumerate(content) if block["type"] == kind)


def _check_answered(unanswered: Mapping[str, int]) -> None:
    if not unanswered:
        return
    caller = next(iter(unanswered.values()))
    listed = ", ".join(map(clip, list(unanswered)[:MAX_LISTED]))
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
