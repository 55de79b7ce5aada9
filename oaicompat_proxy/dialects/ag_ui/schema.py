"""Checks the fields of events: the fields that are read, and their allowed values.

Source: AG-UI 1.1, "Processing Model": unknown fields are dropped, but a malformed value of a known field fails the run,
because the answer would be incomplete. Fields that are not read are not checked. The check is looser than the
protocol's schema, for producers of versions 0.x: `null` stands for an absent optional field, a timestamp may be any
number, an interrupt needs no reason, and the role of a reasoning message may be `assistant`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...core.errors import UpstreamError

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that JavaScript holds exactly."""


class _Type(NamedTuple):
    description: str
    """The expected value, for the error message."""
    accepts: Callable[[Any], bool]


def _optional(kind: _Type) -> _Type:
    return _Type(kind.description, lambda value: value is None or kind.accepts(value))


def _one_of(*texts: str) -> _Type:
    return _Type(f"one of {', '.join(texts)}", lambda value: isinstance(value, str) and value in texts)


def _objects(fields: Mapping[str, _Type], required: tuple[str, ...] = ()) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        return isinstance(value, list) and all(_is_object(each, fields, required) for each in value)

    return accepts


def _is_object(value: Any, fields: Mapping[str, _Type], required: tuple[str, ...]) -> bool:
    if not isinstance(value, dict) or any(key not in value for key in required):
        return False
    return all(fields[key].accepts(each) for key, each in value.items() if key in fields)


def is_count(value: Any) -> bool:
    """Whether the value is an integer from 0 to MAX_SAFE_INTEGER; JSON's 3.0 is one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SAFE_INTEGER:
        return False
    return value == int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_TEXT = _Type("a string", lambda value: isinstance(value, str))
_TEXT_OR_NONE = _optional(_TEXT)
_OBJECT_OR_NONE = _optional(_Type("an object", lambda value: isinstance(value, dict)))
_COUNT_OR_NONE = _optional(_Type("an integer from 0", is_count))
_ROLE = _optional(_one_of("assistant", "developer", "system", "user"))

_COUNTS = (
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "reasoningTokens",
    "cachedInputTokens",
    "cacheWriteInputTokens",
)
_USAGE = _optional(
    _Type(
        "a list of token counts",
        _objects({**dict.fromkeys(_COUNTS, _COUNT_OR_NONE), "provider": _TEXT_OR_NONE, "model": _TEXT_OR_NONE}),
    )
)

_INTERRUPTS = _objects(
    {
        "id": _TEXT,
        **dict.fromkeys(("reason", "message", "toolCallId", "expiresAt", "subagentRunId"), _TEXT_OR_NONE),
        **dict.fromkeys(("responseSchema", "metadata"), _OBJECT_OR_NONE),
    },
    ("id",),
)


def _is_outcome(value: Any) -> bool:
    """An object with a type, or a string in versions 0.x."""
    if isinstance(value, str):
        return True
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    if value["type"] == "success":
        return _optional(_Type("", _is_texts)).accepts(value.get("pendingToolCallIds"))
    if value["type"] == "interrupt":
        return bool(value.get("interrupts")) and _INTERRUPTS(value["interrupts"])
    return True


def _is_child_outcome(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def _is_content(value: Any) -> bool:
    """A string, or a list of parts. Parts of unknown types are dropped later."""
    return isinstance(value, str) or (isinstance(value, list) and all(map(_is_part, value)))


def _is_part(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    return value["type"] != "text" or isinstance(value.get("text"), str)


_FUNCTION = {"name": _TEXT, "arguments": _TEXT}
_CALLS = _objects(
    {"id": _TEXT, "function": _Type("", lambda value: _is_object(value, _FUNCTION, ("name", "arguments")))},
    ("id", "function"),
)
_ASSISTANT = {
    "content": _TEXT_OR_NONE,
    "subagentRunId": _TEXT_OR_NONE,
    "toolCalls": _optional(_Type("", _CALLS)),
}


def _is_messages(value: Any) -> bool:
    """A list of messages. Of messages of other roles than `assistant` only the role is checked."""
    return isinstance(value, list) and all(map(_is_message, value))


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        return False
    return value["role"] != "assistant" or _is_object(value, _ASSISTANT, ())


_EVERY_EVENT = {
    "timestamp": _optional(_Type("a number", _is_number)),
    "metadata": _OBJECT_OR_NONE,
    "subagentRunId": _TEXT_OR_NONE,
}
_MESSAGE = {"messageId": _TEXT, "name": _TEXT_OR_NONE}
_CALL = {"toolCallId": _TEXT, "parentMessageId": _TEXT_OR_NONE}
_CHILD = {"subagentRunId": _TEXT}
_RUN = {"threadId": _TEXT, "runId": _TEXT}

_FIELDS: dict[str, Mapping[str, _Type]] = {
    "TEXT_MESSAGE_START": {**_MESSAGE, "role": _ROLE},
    "TEXT_MESSAGE_CONTENT": {**_MESSAGE, "delta": _TEXT},
    "TEXT_MESSAGE_END": _MESSAGE,
    "TEXT_MESSAGE_CHUNK": {"messageId": _TEXT_OR_NONE, "role": _ROLE, "delta": _TEXT_OR_NONE, "name": _TEXT_OR_NONE},
    "REASONING_MESSAGE_START": {**_MESSAGE, "role": _optional(_one_of("reasoning", "assistant"))},
    "REASONING_MESSAGE_CONTENT": {**_MESSAGE, "delta": _TEXT},
    "REASONING_MESSAGE_END": _MESSAGE,
    "REASONING_MESSAGE_CHUNK": {"messageId": _TEXT_OR_NONE, "delta": _TEXT_OR_NONE},
    "THINKING_TEXT_MESSAGE_START": {},
    "THINKING_TEXT_MESSAGE_CONTENT": {"delta": _TEXT},
    "THINKING_TEXT_MESSAGE_END": {},
    "TOOL_CALL_START": {**_CALL, "toolCallName": _TEXT},
    "TOOL_CALL_ARGS": {**_CALL, "delta": _TEXT},
    "TOOL_CALL_END": _CALL,
    "TOOL_CALL_CHUNK": dict.fromkeys(("toolCallId", "toolCallName", "parentMessageId", "delta"), _TEXT_OR_NONE),
    "TOOL_CALL_RESULT": {**_MESSAGE, "toolCallId": _TEXT, "content": _Type("a string or a list of parts", _is_content)},
    "SUBAGENT_STARTED": {**_CHILD, "name": _TEXT, "parentSubagentRunId": _TEXT_OR_NONE},
    "SUBAGENT_FINISHED": {**_CHILD, "outcome": _optional(_Type("an object with a type", _is_child_outcome))},
    "SUBAGENT_ERROR": {**_CHILD, "message": _TEXT, "code": _TEXT_OR_NONE},
    "MESSAGES_SNAPSHOT": {"messages": _Type("a list of messages", _is_messages)},
    "CUSTOM": {"name": _TEXT},
    "RUN_STARTED": {**_RUN, **dict.fromkeys(("parentRunId", "protocolVersion"), _TEXT_OR_NONE)},
    "RUN_FINISHED": {
        **_RUN,
        "outcome": _optional(_Type("an object with a type, whose fields are those of that type", _is_outcome)),
        "usage": _USAGE,
    },
    "RUN_ERROR": {},
}

_ALLOWED = {name: {**_EVERY_EVENT, **fields} for name, fields in _FIELDS.items()}
_REQUIRED = {
    name: tuple(key for key, kind in fields.items() if not kind.accepts(None)) for name, fields in _FIELDS.items()
}


def check(name: str, data: Mapping[str, Any]) -> None:
    """Raises UpstreamError if a known field of this event is malformed, or a required one is missing."""
    allowed = _ALLOWED[name]
    for key, value in data.items():
        kind = allowed.get(key)
        if kind is not None and not kind.accepts(value):
            raise UpstreamError(f"The agent sent a {name} event whose `{key}` is not {kind.description}.")
    for key in _REQUIRED[name]:
        if key not in data:
            raise UpstreamError(f"The agent sent a {name} event without `{key}`.")
