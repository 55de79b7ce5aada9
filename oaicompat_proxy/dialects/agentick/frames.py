"""Which event a frame is, seen from its first bytes, and how much of it is needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ...core.sse import Keep
from .parsers import COPIES, DEEDS, PARSERS

END_HEAD = 16 * 1024
"""Bytes of `execution_end` that mostly do: what is needed stands before `output`, which holds the whole history."""

RESULT_HEAD = 4 * 1024
"""Bytes of `tool_result` that mostly do where results are not told: what is longer is no placeholder."""

NEVER_NEEDED = (
    *("compiled", "model_request", "provider_request", "content", "reasoning", "reasoning_start", "reasoning_end"),
    *("context_update", "tool_confirmation_result", "fork_start"),
)
"""Known, and of no use to any answer. What has a name that nobody knows is not needed either."""

FRONT = b'{"type":"event","event":"'
"""What stands before the name in the order that gateways write."""

_NAME = re.compile(
    rb'\s*\{\s*(?:"(?:type|sessionId)"\s*:\s*"(?:[^"\\]++|\\.)*+"\s*,\s*)*'
    rb'(?:"event"|"data"\s*:\s*\{\s*"type")\s*:\s*"([^"\\]*)"'
)
"""The name of the event, in any order of the keys in front of it."""


def name_of(head: bytes) -> bytes | None:
    """The name of the event that begins like this; None if it cannot be seen without decoding."""
    if head.startswith(FRONT):
        name, quote, _ = head[len(FRONT) :].partition(b'"')
        if quote and b"\\" not in name:
            return name
    match = _NAME.match(head)
    return match[1] if match else None


_CALL_ID = re.compile(
    rb'\{"type":"event","event":"tool_result","sessionId":"[^"\\]*","data":\{"type":"tool_result","callId":"([^"\\]+)"'
)


def call_id_of(head: bytes) -> str | None:
    """The id in the beginning of a `tool_result`; None if it does not stand where gateways write it."""
    match = _CALL_ID.match(head)
    return match[1].decode("utf-8", "replace") if match else None


def _keeps(names: Iterable[str]) -> dict[bytes, Keep]:
    """What is kept of the events with these names."""
    return {name.encode(): Keep(name) for name in names}


KEEPS = _keeps(PARSERS)
KEEPS[b"tool_result"] = Keep("tool_result", RESULT_HEAD, lambda head: call_id_of(head) is not None)
KEEPS_WITH_DEEDS = _keeps([*PARSERS, *DEEDS])
COPY_NAMES = {name.encode(): name for name in COPIES}

_SPAWN = b"spawnPath"
_TEXT_BLOCK = b'"blockType":"text"'
_OPENING, _BACKSLASH = b"{\\"


def _is_own(frame: bytes) -> bool:
    """Whether it is surely no child's."""
    return _BACKSLASH not in frame and frame.find(_SPAWN) < 0


def _is_of_text(frame: bytes) -> bool:
    _, _, data = frame.partition(b'"data":{')
    return _is_own(frame) and _OPENING not in data and data.find(_TEXT_BLOCK) >= 0


def _cites_nothing(frame: bytes) -> bool:
    return _is_own(frame) and frame.find(b"metadata") < 0


BARE: dict[str, Callable[[bytes], bool]] = {
    "execution_start": _is_own,
    "tick_start": _is_own,
    "message_start": _is_own,
    "content_start": _is_of_text,
    "content_end": _cites_nothing,
}
"""Events that mostly say nothing but their name: whether this frame is one that does, and has not to be decoded. So it
is not proved to be JSON either, which makes no difference to what it says."""
