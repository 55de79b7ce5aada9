"""Fields of every type in every event: judged by the protocol's own types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ag_ui.core import Event
from pydantic import TypeAdapter, ValidationError

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.dialects.ag_ui.schema import MAX_SAFE_INTEGER, check, is_count

EVENT: TypeAdapter[Any] = TypeAdapter(Event)

EVERY = {"timestamp": 1790000000000, "rawEvent": {"a": 1}, "metadata": {"a": 1}}
MESSAGE = {"messageId": "a1", "subagentRunId": "s1"}
USAGE = dict.fromkeys(
    ("inputTokens", "outputTokens", "totalTokens", "reasoningTokens", "cachedInputTokens", "cacheWriteInputTokens"), 3
)
CALL = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": "{}"}}
RUN = {"threadId": "t1", "runId": "r1"}
INTERRUPT = {"id": "i1", "reason": "input_required", "message": "?", "toolCallId": "c1", "responseSchema": {}}

WHOLE: dict[str, dict[str, Any]] = {
    "TEXT_MESSAGE_START": {**MESSAGE, "role": "assistant", "name": "pilot"},
    "TEXT_MESSAGE_CONTENT": {**MESSAGE, "delta": "Six."},
    "TEXT_MESSAGE_END": MESSAGE,
    "TEXT_MESSAGE_CHUNK": {**MESSAGE, "role": "user", "delta": "Six.", "name": "pilot"},
    "REASONING_MESSAGE_START": {**MESSAGE, "role": "reasoning"},
    "REASONING_MESSAGE_CONTENT": {**MESSAGE, "delta": "Hm."},
    "REASONING_MESSAGE_END": MESSAGE,
    "REASONING_MESSAGE_CHUNK": {**MESSAGE, "delta": "Hm."},
    "TOOL_CALL_START": {"toolCallId": "c1", "toolCallName": "tide", "parentMessageId": "a1"},
    "TOOL_CALL_ARGS": {"toolCallId": "c1", "delta": "{}"},
    "TOOL_CALL_END": {"toolCallId": "c1"},
    "TOOL_CALL_CHUNK": {"toolCallId": "c1", "toolCallName": "tide", "parentMessageId": "a1", "delta": "{}"},
    "TOOL_CALL_RESULT": {**MESSAGE, "toolCallId": "c1", "content": [{"type": "text", "text": "06:12"}]},
    "SUBAGENT_STARTED": {"subagentRunId": "s1", "name": "sonar", "parentSubagentRunId": "s0"},
    "SUBAGENT_FINISHED": {"subagentRunId": "s1", "result": {"depth": 12}, "outcome": {"type": "success"}},
    "SUBAGENT_ERROR": {"subagentRunId": "s1", "message": "Fog.", "code": "fog"},
    "MESSAGES_SNAPSHOT": {"messages": [{"id": "a1", "role": "assistant", "content": "Six.", "toolCalls": [CALL]}]},
    "CUSTOM": {"name": "AgentStopped", "value": {"stop_reason": "max_tokens"}},
    "RUN_STARTED": {**RUN, "protocolVersion": "1.0", "parentRunId": "r0"},
    "RUN_FINISHED": {
        **RUN,
        "outcome": {"type": "success", "pendingToolCallIds": ["c1"]},
        "usage": [{**USAGE, "model": "owl", "provider": "nest"}],
    },
}
INTERRUPTED = {**WHOLE["RUN_FINISHED"], "outcome": {"type": "interrupt", "interrupts": [INTERRUPT]}}
CASES = [*WHOLE.items(), ("RUN_FINISHED", INTERRUPTED)]

SWAPS: list[Any] = [None, True, 7, 1.5, -1, "text", "", [], [7], ["x"], {}, {"type": 7}, {"a": 1}, [{}], 2**70]

LOOSER = {
    ("REASONING_MESSAGE_START", "role"),  # of the first releases that had it
    ("RUN_FINISHED", "outcome.interrupts.0.reason"),
    ("RUN_FINISHED", "outcome.type"),  # of an unknown type
    ("RUN_FINISHED", "outcome"),
    ("SUBAGENT_FINISHED", "outcome.type"),
    ("SUBAGENT_FINISHED", "outcome"),
    ("MESSAGES_SNAPSHOT", "messages.0.role"),  # of a message that is not the agent's nothing else is read
    ("MESSAGES_SNAPSHOT", "messages.0.id"),
    ("MESSAGES_SNAPSHOT", "messages.0"),
    ("MESSAGES_SNAPSHOT", "messages.0.toolCalls.0.type"),
    ("TOOL_CALL_RESULT", "content.0.type"),  # a part of an unknown kind is dropped
    ("TOOL_CALL_RESULT", "content.0"),
    ("TOOL_CALL_RESULT", "content"),
    ("SUBAGENT_ERROR", "code"),
}
"""Where more is taken than the protocol's types do; the judge's own reading of numbers is looser still."""


def is_fine(name: str, fields: dict[str, Any]) -> bool:
    try:
        check(name, {"type": name, **fields})
    except UpstreamError:
        return False
    return True


def test_a_refusal_says_which_field_of_which_event_is_wrong() -> None:
    with pytest.raises(UpstreamError) as caught:
        check("TEXT_MESSAGE_CONTENT", {"type": "TEXT_MESSAGE_CONTENT", "messageId": "a1", "delta": 42})
    assert caught.value.message == "The agent sent a TEXT_MESSAGE_CONTENT event whose `delta` is not a string."
    assert caught.value.status == 502


def is_fine_by_protocol(name: str, fields: dict[str, Any]) -> bool:
    try:
        EVENT.validate_python({"type": name, **fields})
    except ValidationError:
        return False
    return True


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, (*path, number))


def put(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_a_whole_event_is_fine(name: str, fields: dict[str, Any]) -> None:
    assert is_fine(name, {**EVERY, **fields, "unknown": object()})
    assert is_fine_by_protocol(name, {**EVERY, **fields})


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_what_the_protocol_refuses_is_refused_and_what_it_takes_is_taken(name: str, fields: dict[str, Any]) -> None:
    whole = {**EVERY, **fields}
    for path in places(whole):
        where = ".".join(map(str, path))
        if where.startswith("rawEvent"):
            continue
        for value in SWAPS:
            swapped = put(whole, path, value)
            ours, theirs = is_fine(name, swapped), is_fine_by_protocol(name, swapped)
            if theirs:
                assert ours or _is_coerced(path[-1], value), (where, value)
            else:
                assert not ours or (name, where) in LOOSER or _is_number(path[-1], value), (where, value)


def _is_coerced(key: str | int, value: Any) -> bool:
    """The judge makes numbers of truth values."""
    return isinstance(value, bool) and (str(key).endswith("Tokens") or key == "timestamp")


def _is_number(key: str | int, value: Any) -> bool:
    """Times were any number in the 0.x age."""
    return key == "timestamp" and isinstance(value, int | float)


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_a_field_that_the_protocol_requires_is_required(name: str, fields: dict[str, Any]) -> None:
    for key in fields:
        rest = {each: value for each, value in fields.items() if each != key}
        assert is_fine(name, rest) == is_fine_by_protocol(name, rest) or (name, key) == ("CUSTOM", "value"), key


@pytest.mark.parametrize(
    ("outcome", "fine"),
    [
        *((each, True) for each in (None, "success", "interrupt", "unheard of", {"type": "unheard of"})),
        *((each, False) for each in (7, True, [], ["success"], {}, {"type": 7}, {"type": None})),
        ({"type": "interrupt"}, False),
        ({"type": "interrupt", "interrupts": []}, False),
        ({"type": "interrupt", "interrupts": [{"message": "?"}]}, False),
        ({"type": "interrupt", "interrupts": [{"id": "i1"}]}, True),
        ({"type": "success", "pendingToolCallIds": [7]}, False),
    ],
)
def test_an_outcome_is_an_object_or_a_string(outcome: Any, fine: bool) -> None:
    assert is_fine("RUN_FINISHED", {**RUN, "outcome": outcome}) is fine


def test_a_failure_is_never_malformed() -> None:
    assert is_fine("RUN_ERROR", {"message": 7, "code": [], "usage": 7})


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        *((each, True) for each in (0, 3, 3.0, MAX_SAFE_INTEGER)),
        *((each, False) for each in (-1, 1.5, True, "3", None, [], MAX_SAFE_INTEGER + 1, float("nan"), float("inf"))),
    ],
)
def test_a_count_is_an_integer_from_0(value: Any, counts: bool) -> None:
    assert is_count(value) is counts
