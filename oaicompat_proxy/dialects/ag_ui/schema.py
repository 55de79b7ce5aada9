"""The fields of the events that are read, and what each may hold.

Source: AG-UI 1.1, "Processing Model": what the protocol does not describe is dropped, but a malformed value of a
field that it does describe fails the run: half a text with a good end would be a lie. What is not read, because no
answer is made of it, is not looked at. Looser than the schema, for producers of the 0.x age: `null` stands for an
absent optional field, a timestamp may be any number, an interrupt needs no reason, and a reasoning message may call
itself the assistant's, as the first releases that had them wanted it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...core.errors import UpstreamError

MOST_COUNTED = 2**53 - 1
"""The largest integer that JavaScript holds exactly."""


class _Kind(NamedTuple):
    words: str
    """What a value should be, for people."""
    accepts: Callable[[Any], bool]


def _kind(words: str, accepts: Callable[[Any], bool]) -> _Kind:
    return _Kind(words, accepts)


def _optional(kind: _Kind) -> _Kind:
    return _Kind(kind.words, lambda value: value is None or kind.accepts(value))


def _one_of(*texts: str) -> _Kind:
    return _Kind(f"one of {', '.join(texts)}", lambda value: isinstance(value, str) and value in texts)


def _objects(fields: Mapping[str, _Kind], required: tuple[str, ...] = ()) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        return isinstance(value, list) and all(_is_object(each, fields, required) for each in value)

    return accepts


def _is_object(value: Any, fields: Mapping[str, _Kind], required: tuple[str, ...]) -> bool:
    if not isinstance(value, dict) or any(key not in value for key in required):
        return False
    return all(fields[key].accepts(each) for key, each in value.items() if key in fields)


def is_count(value: Any) -> bool:
    """An integer from 0, exact in every client's numbers; JSON's 3.0 is one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_COUNTED:
        return False
    return value == int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_TEXT = _kind("a string", lambda value: isinstance(value, str))
_TEXT_OR_NONE = _optional(_TEXT)
_OBJECT_OR_NONE = _optional(_kind("an object", lambda value: isinstance(value, dict)))
_COUNT_OR_NONE = _optional(_kind("an integer from 0", is_count))
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
    _kind(
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
    """An object of any type; a string in the age when that was all."""
    if isinstance(value, str):
        return True
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    if value["type"] == "success":
        return _optional(_kind("", _is_texts)).accepts(value.get("pendingToolCallIds"))
    if value["type"] == "interrupt":
        return bool(value.get("interrupts")) and _INTERRUPTS(value["interrupts"])
    return True


def _is_child_outcome(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def _is_content(value: Any) -> bool:
    """A string, or parts; parts of a kind that is not known are dropped later."""
    return isinstance(value, str) or (isinstance(value, list) and all(map(_is_part, value)))


def _is_part(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    return value["type"] != "text" or isinstance(value.get("text"), str)


_FUNCTION = {"name": _TEXT, "arguments": _TEXT}
_CALLS = _objects(
    {"id": _TEXT, "function": _kind("", lambda value: _is_object(value, _FUNCTION, ("name", "arguments")))},
    ("id", "function"),
)
_ASSISTANT = {
    "content": _TEXT_OR_NONE,
    "subagentRunId": _TEXT_OR_NONE,
    "toolCalls": _optional(_kind("", _CALLS)),
}


def _is_messages(value: Any) -> bool:
    """Of messages that are not the agent's only the role is read."""
    return isinstance(value, list) and all(map(_is_message, value))


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        return False
    return value["role"] != "assistant" or _is_object(value, _ASSISTANT, ())


_EVERY_EVENT = {
    "timestamp": _optional(_kind("a number", _is_number)),
    "metadata": _OBJECT_OR_NONE,
    "subagentRunId": _TEXT_OR_NONE,
}
_MESSAGE = {"messageId": _TEXT, "name": _TEXT_OR_NONE}
_CALL = {"toolCallId": _TEXT, "parentMessageId": _TEXT_OR_NONE}
_CHILD = {"subagentRunId": _TEXT}
_RUN = {"threadId": _TEXT, "runId": _TEXT}

_FIELDS: dict[str, Mapping[str, _Kind]] = {
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
    "TOOL_CALL_RESULT": {**_MESSAGE, "toolCallId": _TEXT, "content": _kind("a string or a list of parts", _is_content)},
    "SUBAGENT_STARTED": {**_CHILD, "name": _TEXT, "parentSubagentRunId": _TEXT_OR_NONE},
    "SUBAGENT_FINISHED": {**_CHILD, "outcome": _optional(_kind("an object with a type", _is_child_outcome))},
    "SUBAGENT_ERROR": {**_CHILD, "message": _TEXT, "code": _TEXT_OR_NONE},
    "MESSAGES_SNAPSHOT": {"messages": _kind("a list of messages", _is_messages)},
    "CUSTOM": {"name": _TEXT},
    "RUN_STARTED": {**_RUN, **dict.fromkeys(("parentRunId", "protocolVersion"), _TEXT_OR_NONE)},
    "RUN_FINISHED": {
        **_RUN,
        "outcome": _optional(_kind("an object with a type, whose fields are those of that type", _is_outcome)),
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
            raise UpstreamError(f"The agent sent a {name} event whose `{key}` is not {kind.words}.")
    for key in _REQUIRED[name]:
        if key not in data:
            raise UpstreamError(f"The agent sent a {name} event without `{key}`.")
