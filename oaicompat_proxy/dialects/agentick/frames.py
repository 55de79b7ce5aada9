"""Recognises an Agentick event by the first bytes of its frame, says how much of it is needed, and decodes it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

import orjson

from ...core.errors import UpstreamError
from ...core.sse import Kept
from .parsers import DUPLICATES, PARSERS, TOOL_ACTIVITY, Data

END_PREFIX_BYTES = 16 * 1024
"""Bytes of `execution_end` that are usually enough: the needed fields stand before `output`, the whole history."""

RESULT_PREFIX_BYTES = 4 * 1024
"""Bytes of `tool_result` that are enough where results are not shown: a placeholder is shorter."""

IGNORED = (
    *("compiled", "model_request", "provider_request", "content", "reasoning", "reasoning_start", "reasoning_end"),
    *("context_update", "tool_confirmation_result", "fork_start"),
)
"""Known events that no answer needs. Events of unknown names are ignored, too."""

ENVELOPE_START = b'{"type":"event","event":"'
"""The bytes before the event's name, in the key order of real gateways."""

_NAME = re.compile(
    rb'\s*\{\s*(?:"(?:type|sessionId)"\s*:\s*"(?:[^"\\]++|\\.)*+"\s*,\s*)*'
    rb'(?:"event"|"data"\s*:\s*\{\s*"type")\s*:\s*"([^"\\]*)"'
)
"""Finds the event's name, with the keys before it in any order."""


def name_of(head: bytes) -> bytes | None:
    """The event's name, from the first bytes of its frame; None if only decoding can find it."""
    if head.startswith(ENVELOPE_START):
        name, quote, _ = head[len(ENVELOPE_START) :].partition(b'"')
        if quote and b"\\" not in name:
            return name
    match = _NAME.match(head)
    return match[1] if match else None


def decode(payload: bytes) -> Data:
    """The frame's JSON. Lone surrogates are kept, since the next delta may have the other half."""
    try:
        envelope = orjson.loads(payload)
    except orjson.JSONDecodeError:
        try:
            envelope = json.loads(payload.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise UpstreamError("The agent sent an event that is no JSON.") from None
    return envelope if isinstance(envelope, dict) else {}


_CALL_ID = re.compile(
    rb'\{"type":"event","event":"tool_result","sessionId":"[^"\\]*","data":\{"type":"tool_result","callId":"([^"\\]+)"'
)


def call_id_of(head: bytes) -> str | None:
    """The call id, from the first bytes of a `tool_result`; None if it is not where gateways write it."""
    match = _CALL_ID.match(head)
    return match[1].decode("utf-8", "replace") if match else None


def _keep_all_of(names: Iterable[str]) -> dict[bytes, Kept]:
    """Keeps all of the events with these names."""
    return {name.encode(): Kept(name) for name in names}


FILTER = _keep_all_of(PARSERS)
FILTER[b"tool_result"] = Kept("tool_result", RESULT_PREFIX_BYTES, lambda head: call_id_of(head) is not None)
FILTER_WITH_TOOL_ACTIVITY = _keep_all_of([*PARSERS, *TOOL_ACTIVITY])
DUPLICATE_NAMES = {name.encode(): name for name in DUPLICATES}

_SPAWN = b"spawnPath"
_TEXT_BLOCK = b'"blockType":"text"'
_BRACE, _BACKSLASH = b"{\\"


def _has_no_spawn_path(frame: bytes) -> bool:
    """Whether the frame certainly belongs to no child execution."""
    return _BACKSLASH not in frame and frame.find(_SPAWN) < 0


def _is_plain_text_block(frame: bytes) -> bool:
    _, _, data = frame.partition(b'"data":{')
    return _has_no_spawn_path(frame) and _BRACE not in data and data.find(_TEXT_BLOCK) >= 0


def _has_no_citations(frame: bytes) -> bool:
    return _has_no_spawn_path(frame) and frame.find(b"metadata") < 0


EMPTY_EVENTS: dict[str, Callable[[bytes], bool]] = {
    "execution_start": _has_no_spawn_path,
    "tick_start": _has_no_spawn_path,
    "message_start": _has_no_spawn_path,
    "content_start": _is_plain_text_block,
    "content_end": _has_no_citations,
}
"""Events that usually have no field that is needed, each with a check that a frame need not be decoded.

Such a frame is not checked to be valid JSON."""
