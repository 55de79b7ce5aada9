"""Finds an event's name, and the id of its run or call, in the first bytes of its frame."""

from __future__ import annotations

import re

import orjson

_FRAME_START = b'{"type":"'
"""The bytes before the name, in the key order of nearly all agents."""

_SIMPLE = rb'(?:"(?:[^"\\]++|\\.)*+"|[-\w.]+)'
_TYPE = re.compile(rb'\s*\{\s*(?:"[^"\\]*"\s*:\s*' + _SIMPLE + rb'\s*,\s*)*"type"\s*:\s*"([^"\\]*)"')
"""Finds the event's name after any fields without nesting."""

_NAME = re.compile(rb'\s*\{\s*(?:"[^"\\]*"\s*:\s*' + _SIMPLE + rb'\s*,\s*)*?"name"\s*:\s*"([^"\\]*)"')

ON_INTERRUPT = "on_interrupt"
"""The `CUSTOM` event of LangGraph, CrewAI and Mastra for a run that waits for a human."""

AGENT_STOPPED = "AgentStopped"
"""The `CUSTOM` event of Strands with the reason why the model stopped."""

_OUTPUTS = re.compile(r"Final result processed\.\Z|Returning structured response: ")
"""Results, of Pydantic AI and LangChain, of a call whose arguments are the agent's answer, if its output has a type."""

_STRING = rb'\s*:\s*("(?:[^"\\]++|\\.)*+")'
_CALL_ID = re.compile(rb'"toolCallId"' + _STRING)
_RUN_ID = re.compile(rb'"runId"' + _STRING)
_OPAQUE_FIELD = re.compile(rb'"(?:content|rawEvent|metadata|input)"\s*:')
"""A field whose value may contain one of these keys; the search ends before it."""


def name_of(head: bytes) -> bytes | None:
    """The event's name, from the first bytes of its frame; None if only decoding can find it."""
    if head.startswith(_FRAME_START):
        name, quote, _ = head[len(_FRAME_START) :].partition(b'"')
        if quote and b"\\" not in name:
            return name
    match = _TYPE.match(head)
    return match[1] if match else None


def call_id_of(head: bytes) -> str | None:
    """The call id, from the first bytes of a tool result; None if only decoding can find it."""
    return _find_text(head, _CALL_ID)


def accepts_output(result: object) -> bool:
    """Whether this result of a call says that the call's arguments are the agent's answer."""
    return isinstance(result, str) and _OUTPUTS.match(result) is not None


def run_id_of(head: bytes) -> str | None:
    """The run id, from the first bytes of `RUN_STARTED`; None if only decoding can find it."""
    return _find_text(head, _RUN_ID)


def _find_text(head: bytes, pattern: re.Pattern[bytes]) -> str | None:
    """The value of the pattern's key, if it comes before every field that may contain such a key."""
    searched = head[: found.start()] if (found := _OPAQUE_FIELD.search(head)) else head
    match = pattern.search(searched)
    try:
        return str(orjson.loads(match[1])) if match else None
    except orjson.JSONDecodeError:
        return None


def custom_name_of(head: bytes) -> bytes | None:
    """The name of a `CUSTOM` event, from its first bytes; None if only decoding can find it."""
    match = _NAME.match(head)
    return match[1] if match else None
