"""Many events of one kind: time in proportion to their number, memory too, and an end to what is held back."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pytest

from oaicompat_proxy.api.openai.chat.encoder import ChunkEncoder
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.core.errors import AgentError, ProxyError, UpstreamAnswerTooLong, UpstreamInterrupted
from oaicompat_proxy.dialects.ag_ui.dialect import AgUi
from oaicompat_proxy.dialects.agentick.dialect import Agentick
from oaicompat_proxy.dialects.protocol import Dialect
from oaicompat_proxy.server.sessions.fingerprints import AnswerFingerprint
from oaicompat_proxy.translation.translator import Translator
from tests.support.pipeline import ENVELOPE, MAX_FRAME

FEW, GROWTH, MOST = 2_000, 4, 9
"""Events; four times as many may take nine times as long: a line takes four times, a square sixteen."""
LEAST = 0.010
"""Seconds of processor time below which a measurement is not meaningful."""
BYTES = 4_000
"""Of memory for each event, at most, beside its own: objects for a call or a citation, and room for growth."""
READ = 64 * 1024
TRIES = 2

Events = Callable[[int], Iterable[dict[str, Any]]]


def agentick(*kinds: tuple[str, dict[str, Any]]) -> Events:
    """Each of these, so many times; `#` in a text becomes the number."""
    return lambda count: (
        {"type": "event", "event": name, "sessionId": "s", "data": numbered({"type": name, **data}, number)}
        for number in range(count)
        for name, data in kinds
    )


def ag_ui(*kinds: dict[str, Any], first: tuple[dict[str, Any], ...] = ()) -> Events:
    def make(count: int) -> Iterator[dict[str, Any]]:
        yield from first
        for number in range(count):
            yield from (numbered(kind, number) for kind in kinds)

    return make


def numbered(value: Any, number: int) -> Any:
    if isinstance(value, str):
        return value.replace("#", str(number))
    if isinstance(value, dict):
        return {key: numbered(item, number) for key, item in value.items()}
    return [numbered(item, number) for item in value] if isinstance(value, list) else value


def one_by_one(*phases: Events) -> Events:
    """All of the first kind, then all of the next."""
    return lambda count: (event for phase in phases for event in phase(count))


CITED = {"citations": [{"url": "https://example.org/#", "title": "t", "startIndex": 0, "endIndex": 1}]}
USED = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
CHILD = {"spawnPath": ["child#"]}
AGENTICK: dict[str, Events] = {
    "text": agentick(("content_delta", {"blockType": "text", "delta": "a"})),
    "blocks": agentick(
        ("content_start", {"blockType": "text"}),
        ("content_delta", {"blockType": "text", "delta": "a"}),
        ("content_end", {"blockType": "text"}),
    ),
    "citations": agentick(("content_end", {"blockType": "text", "metadata": CITED})),
    "reasoning": agentick(("reasoning_start", {}), ("reasoning_delta", {"delta": "a"}), ("reasoning_end", {})),
    "calls": agentick(("tool_call_start", {"callId": "c#", "name": "own"})),
    "client's calls": agentick(("tool_call_start", {"callId": "c#", "name": "mine"})),
    "whole calls": agentick(("tool_call", {"callId": "c#", "name": "own", "input": {"a": 1}})),
    "client's whole calls": agentick(("tool_call", {"callId": "c#", "name": "mine", "input": {"a": 1}})),
    "arguments of one call": one_by_one(
        lambda _: agentick(("tool_call_start", {"callId": "c", "name": "own"}))(1),
        agentick(("tool_call_delta", {"callId": "c", "delta": "a"})),
    ),
    "arguments of many calls": one_by_one(
        agentick(("tool_call_start", {"callId": "c#", "name": "own"})),
        agentick(("tool_call_delta", {"callId": "c#", "delta": "a"})),
        agentick(("tool_call_end", {"callId": "c#"})),
    ),
    "interleaved arguments of the client's calls": one_by_one(
        agentick(("tool_call_start", {"callId": "c#", "name": "mine"})),
        agentick(("tool_call_delta", {"callId": "c#", "delta": "a"})),
        agentick(("tool_call_end", {"callId": "c#"})),
    ),
    "calls and messages": agentick(
        ("message_start", {}), ("tool_call_start", {"callId": "c#", "name": "own"}), ("message_end", {"usage": USED})
    ),
    "calls and results": one_by_one(
        agentick(("tool_call", {"callId": "c#", "name": "own", "input": {}})),
        agentick(
            ("tool_result_start", {"callId": "c#", "name": "own"}),
            ("tool_result", {"callId": "c#", "name": "own", "result": {"content": "r"}}),
        ),
    ),
    "placeholders": one_by_one(
        agentick(("tool_call", {"callId": "c#", "name": "own", "input": {}})),
        agentick(("tool_result", {"callId": "c#", "name": "own", "result": "[own rendered on client]"})),
    ),
    "results without calls": agentick(("tool_result", {"callId": "c#", "name": "own", "result": "r"})),
    "ticks": agentick(
        ("tick_start", {"tick": 1}), ("tick_end", {"shouldContinue": True, "usage": USED, "stopReason": "tool_use"})
    ),
    "ticks with a call": agentick(
        ("tick_start", {}),
        ("tool_call", {"callId": "c#", "name": "own", "input": {}}),
        ("tool_result", {"callId": "c#", "name": "own", "result": "r"}),
        ("tick_end", {"shouldContinue": True, "usage": USED}),
    ),
    "messages": agentick(("message", {"message": {"role": "assistant", "content": [{"type": "text", "text": "a"}]}})),
    "usage": agentick(("usage", {"usage": USED})),
    "children": agentick(
        ("spawn_start", {"label": "child#", **CHILD}),
        ("content_delta", {"blockType": "text", "delta": "a", **CHILD}),
        ("spawn_end", {"label": "child#", "output": "o", **CHILD}),
    ),
    "children that are alive": agentick(("spawn_start", {"label": "child#", "spawnId": "child#", **CHILD})),
    "forks": agentick(("fork_start", {"forkId": "f#"}), ("fork_end", {"forkId": "f#", "selectedBranch": "b"})),
    "failures of the model": agentick(("error", {"error": {"message": "m #"}})),
    "confirmations": agentick(("tool_confirmation_required", {"callId": "c#", "name": "own", "input": {}})),
    "unknown events": agentick(("something_new_#", {"a": "b"})),
    "events that nobody needs": agentick(("provider_request", {"a": "b" * 100})),
    "ends of others": agentick(("execution_end", {"executionId": "other#", "status": "failed", "error": {"m": "x"}})),
}

MESSAGE, CALL = {"messageId": "m#"}, {"toolCallId": "c#"}
AG_UI: dict[str, Events] = {
    "text": ag_ui(
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "a"},
        first=({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"},),
    ),
    "messages": ag_ui(
        {"type": "TEXT_MESSAGE_START", "role": "assistant", **MESSAGE},
        {"type": "TEXT_MESSAGE_CONTENT", "delta": "a", **MESSAGE},
        {"type": "TEXT_MESSAGE_END", **MESSAGE},
    ),
    "open messages": one_by_one(
        ag_ui({"type": "TEXT_MESSAGE_START", "role": "assistant", **MESSAGE}),
        ag_ui({"type": "TEXT_MESSAGE_CONTENT", "delta": "a", **MESSAGE}),
        ag_ui({"type": "TEXT_MESSAGE_END", **MESSAGE}),
    ),
    "pieces of messages": ag_ui({"type": "TEXT_MESSAGE_CHUNK", "delta": "a", **MESSAGE}),
    "calls": ag_ui({"type": "TOOL_CALL_START", "toolCallName": "own", **CALL}, {"type": "TOOL_CALL_END", **CALL}),
    "client's calls": ag_ui(
        {"type": "TOOL_CALL_START", "toolCallName": "mine", **CALL},
        {"type": "TOOL_CALL_ARGS", "delta": "{}", **CALL},
        {"type": "TOOL_CALL_END", **CALL},
    ),
    "open calls": one_by_one(
        ag_ui({"type": "TOOL_CALL_START", "toolCallName": "own", **CALL}),
        ag_ui({"type": "TOOL_CALL_ARGS", "delta": "a", **CALL}),
        ag_ui({"type": "TOOL_CALL_END", **CALL}),
        ag_ui({"type": "TOOL_CALL_RESULT", "messageId": "r#", "content": "r", **CALL}),
    ),
    "arguments of one call": ag_ui(
        {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": "a"},
        first=({"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "own"},),
    ),
    "pieces of calls": ag_ui({"type": "TOOL_CALL_CHUNK", "toolCallName": "own", "delta": "a", **CALL}),
    "calls and results": ag_ui(
        {"type": "TOOL_CALL_START", "toolCallName": "own", **CALL},
        {"type": "TOOL_CALL_END", **CALL},
        {"type": "TOOL_CALL_RESULT", "messageId": "r#", "content": "r", **CALL},
    ),
    "results without calls": ag_ui({"type": "TOOL_CALL_RESULT", "messageId": "r#", "content": "r", **CALL}),
    "steps": ag_ui({"type": "STEP_STARTED", "stepName": "s#"}, {"type": "STEP_FINISHED", "stepName": "s#"}),
    "open steps": ag_ui({"type": "STEP_STARTED", "stepName": "s#"}),
    "states": ag_ui({"type": "STATE_SNAPSHOT", "snapshot": {"a": "b#"}}, {"type": "STATE_DELTA", "delta": []}),
    "conversations": ag_ui(
        {"type": "MESSAGES_SNAPSHOT", "messages": [{"id": "m#", "role": "assistant", "content": "a"}]}
    ),
    "activities": ag_ui({"type": "ACTIVITY_SNAPSHOT", "messageId": "a#", "activityType": "t", "content": {}}),
    "reasoning": ag_ui(
        {"type": "REASONING_START", **MESSAGE},
        {"type": "REASONING_MESSAGE_START", "role": "reasoning", **MESSAGE},
        {"type": "REASONING_MESSAGE_CONTENT", "delta": "a", **MESSAGE},
        {"type": "REASONING_MESSAGE_END", **MESSAGE},
        {"type": "REASONING_END", **MESSAGE},
    ),
    "custom events": ag_ui({"type": "CUSTOM", "name": "n#", "value": {"a": 1}}),
    "interrupts": ag_ui({"type": "CUSTOM", "name": "on_interrupt", "value": "v#"}),
    "raw events": ag_ui({"type": "RAW", "event": {"a": 1}}),
    "subagents": ag_ui({"type": "SUBAGENT_STARTED", "subagentRunId": "s#", "name": "n"}),
    "unknown events": ag_ui({"type": "NEW_#", "a": "b"}),
}


class Side(NamedTuple):
    dialect: Dialect
    opening: tuple[dict[str, Any], ...]


SIDES = {
    "agentick": Side(
        Agentick(),
        (
            {"type": "event", "event": "execution_start", "sessionId": "s", "data": {"executionId": "e"}},
            {"type": "event", "event": "tick_start", "sessionId": "s", "data": {}},
        ),
    ),
    "ag-ui": Side(AgUi(), ({"type": "RUN_STARTED", "threadId": "t", "runId": "r"},)),
}
TABLE = [("agentick", name, events) for name, events in AGENTICK.items()]
TABLE += [("ag-ui", name, events) for name, events in AG_UI.items()]
rows = pytest.mark.parametrize(("dialect", "events"), [pytest.param(d, e, id=f"{d}-{n}") for d, n, e in TABLE])


def stream(dialect: str, events: Events, count: int) -> bytes:
    frames = [*SIDES[dialect].opening, *events(count)]
    return b"".join(b"data: " + json.dumps(frame, separators=(",", ":")).encode() + b"\n\n" for frame in frames)


def answer(dialect: str, native: bytes, server_tools: str, *, max_buffered: int = 2**30) -> ProxyError | None:
    """Reads, translates and encodes all of it; what ended it."""
    reader = SIDES[dialect].dialect.new_reader(
        max_frame=MAX_FRAME, include_tool_activity=server_tools != "hide", run_id="r"
    )
    options = AnswerOptions(tool_names=("mine",), server_tools=server_tools, confirmations="approve")
    translator = Translator(options, max_buffered=max_buffered)
    encoder = ChunkEncoder(ENVELOPE, include_usage=True, reasoning_field="reasoning_content")
    digest = AnswerFingerprint(b"", "", "", ())
    try:
        for start in range(0, len(native), READ):
            for event in reader.feed(native[start : start + READ]):
                for chunk in translator.feed(event):
                    digest.add(chunk)
                    encoder.encode(chunk)
        translator.finish()
    except ProxyError as error:
        digest.hexdigest()
        return error
    return None


def seconds(dialect: str, native: bytes, server_tools: str) -> float:
    times = []
    for _ in range(TRIES):
        start = time.thread_time()
        answer(dialect, native, server_tools)
        times.append(time.thread_time() - start)
    return min(times)


@rows
def test_all_of_them_are_read(dialect: str, events: Events) -> None:
    """None is a fault that would end the run early, and leave nothing to measure."""
    error = answer(dialect, stream(dialect, events, 10), "content")
    assert type(error) in (UpstreamInterrupted, type(None)) or isinstance(error, AgentError), error


@rows
@pytest.mark.parametrize("server_tools", ["hide", "content"])
def test_time_is_in_proportion_to_their_number(dialect: str, events: Events, server_tools: str) -> None:
    few, many = (stream(dialect, events, count) for count in (FEW, GROWTH * FEW))
    once = max(LEAST, seconds(dialect, few, server_tools))
    assert seconds(dialect, many, server_tools) < MOST * once


@rows
def test_memory_is_in_proportion_to_their_number(dialect: str, events: Events) -> None:
    native = stream(dialect, events, FEW)
    tracemalloc.start()
    try:
        answer(dialect, native, "content")
        assert tracemalloc.get_traced_memory()[1] < BYTES * FEW + 4 * READ
    finally:
        tracemalloc.stop()


HELD = {
    "agentick": [
        *("citations", "calls", "whole calls", "client's whole calls", "arguments of many calls"),
        *("calls and messages", "interleaved arguments of the client's calls"),
    ],
    "ag-ui": ["calls", "open calls", "pieces of calls"],
}


@pytest.mark.parametrize(("dialect", "name"), [(dialect, name) for dialect in HELD for name in HELD[dialect]])
def test_what_is_held_back_has_an_end(dialect: str, name: str) -> None:
    events = {"agentick": AGENTICK, "ag-ui": AG_UI}[dialect][name]
    native = stream(dialect, events, FEW)
    assert not isinstance(answer(dialect, native, "hide"), UpstreamAnswerTooLong)
    assert isinstance(answer(dialect, native, "hide", max_buffered=100_000), UpstreamAnswerTooLong)


def test_a_long_argument_is_held_as_what_it_is() -> None:
    native = stream("agentick", agentick(("tool_call_delta", {"callId": "c", "delta": "a" * 1000})), 200)
    assert isinstance(answer("agentick", native, "hide", max_buffered=100_000), UpstreamAnswerTooLong)


def test_what_another_tick_has_dropped_is_not_held() -> None:
    native = stream("agentick", AGENTICK["ticks with a call"], FEW)
    assert not isinstance(answer("agentick", native, "hide", max_buffered=2000), UpstreamAnswerTooLong)
