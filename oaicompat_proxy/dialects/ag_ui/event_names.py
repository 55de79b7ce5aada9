"""Which event a frame is, and which run, call or custom event it speaks of, seen from its first bytes."""

from __future__ import annotations

import re

import orjson

_FRONT = b'{"type":"'
"""What stands before the name in the order that nearly all agents write."""

_SIMPLE = rb'(?:"(?:[^"\\]++|\\.)*+"|[-\w.]+)'
_TYPE = re.compile(rb'\s*\{\s*(?:"[^"\\]*"\s*:\s*' + _SIMPLE + rb'\s*,\s*)*"type"\s*:\s*"([^"\\]*)"')
"""The event's name, behind any members that are not nested."""

_NAME = re.compile(rb'\s*\{\s*(?:"[^"\\]*"\s*:\s*' + _SIMPLE + rb'\s*,\s*)*?"name"\s*:\s*"([^"\\]*)"')

ON_INTERRUPT = b"on_interrupt"
"""The `CUSTOM` event with which LangGraph, CrewAI and Mastra say that the run waits for a human."""

AGENT_STOPPED = b"AgentStopped"
"""The `CUSTOM` event with which Strands says why the model stopped."""

_STRING = rb'\s*:\s*("(?:[^"\\]++|\\.)*+")'
_CALL_ID = re.compile(rb'"toolCallId"' + _STRING)
_RUN_ID = re.compile(rb'"runId"' + _STRING)
_NESTED = re.compile(rb'"(?:content|rawEvent|metadata|input)"\s*:')
"""Behind it may stand what only looks like one of these."""


def name_of(head: bytes) -> bytes | None:
    """The name of the event that begins like this; None if it cannot be seen without decoding."""
    if head.startswith(_FRONT):
        name, quote, _ = head[len(_FRONT) :].partition(b'"')
        if quote and b"\\" not in name:
            return name
    match = _TYPE.match(head)
    return match[1] if match else None


def call_id_of(head: bytes) -> str | None:
    """The call whose result begins like this; None if it cannot be seen without decoding."""
    return _find_text(head, _CALL_ID)


def run_id_of(head: bytes) -> str | None:
    """The run that begins like this; None if it cannot be seen without decoding."""
    return _find_text(head, _RUN_ID)


def _find_text(head: bytes, pattern: re.Pattern[bytes]) -> str | None:
    """The string in front of all that may hold such a key too."""
    front = head[: found.start()] if (found := _NESTED.search(head)) else head
    match = pattern.search(front)
    try:
        return str(orjson.loads(match[1])) if match else None
    except orjson.JSONDecodeError:
        return None


def custom_name_of(head: bytes) -> bytes | None:
    """What a `CUSTOM` event that begins like this is called; None if it cannot be seen without decoding."""
    match = _NAME.match(head)
    return match[1] if match else None
