"""Parses the `data` of each Agentick event into a neutral event.

Source: `dialects/agentick/PROTOCOL.md`, "Frames". The second `execution_end` of a run has no
fields, so each field has a default. A field of the wrong type counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ...core.events import (
    Citation,
    ConfirmationRequired,
    Event,
    MessageCompleted,
    MessageEnded,
    MessageUsed,
    ModelFailed,
    ReasoningDelta,
    RunFailed,
    RunResult,
    RunStarted,
    SubagentFinished,
    TextCited,
    TextDelta,
    TextStarted,
    TickEnded,
    TickStarted,
    ToolCallDelta,
    ToolCalled,
    ToolCallEnded,
    ToolCallHandled,
    ToolCallStarted,
    ToolFinished,
    ToolStarted,
    Usage,
)

Data = dict[str, Any]

PLACEHOLDER = "[%s rendered on client]"
"""The engine's made-up result of a tool that a client has to run (Agentick 0.9 to 0.14)."""

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that JavaScript represents exactly."""


def text_of(data: Data, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def failure_of(message: str) -> RunFailed:
    return RunFailed(
        message,
        aborted=message == "Execution aborted",
        unknown_app=message.startswith("Unknown app"),
    )


def _usage(data: Data) -> Usage | None:
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return None
    count: Callable[[str], Any] = usage.get
    used, made, total = count("inputTokens"), count("outputTokens"), count("totalTokens")
    are_sound = type(used) is type(made) is type(total) is int and 0 <= made <= total <= MAX_SAFE_INTEGER
    if are_sound and 0 <= used <= total:  # a call of `_count` for each takes 1.4 k instructions more
        if len(usage) == 3:  # as usual: no other count
            return Usage(used, made, total)
    else:
        used, made = _count(used) or 0, _count(made) or 0
        total = _count(total) or used + made
    reasoning, cached, created = count("reasoningTokens"), count("cachedInputTokens"), count("cacheCreationTokens")
    if reasoning is None and cached is None and created is None:
        return Usage(used, made, total)
    return Usage(used, made, total, _count(reasoning), _count(cached), _count(created))


def _count(value: Any) -> int | None:
    """A valid count: an integer from 0 to MAX_SAFE_INTEGER; else None."""
    if type(value) is int:
        return value if 0 <= value <= MAX_SAFE_INTEGER else None
    if type(value) is not float or not 0 <= value <= MAX_SAFE_INTEGER:
        return None
    return int(value) if value == int(value) else None


def _tool_call(data: Data) -> Event:
    return ToolCalled(text_of(data, "callId"), text_of(data, "name"), _arguments(data))


def _confirmation(data: Data) -> Event:
    return ConfirmationRequired(
        text_of(data, "callId"), text_of(data, "name"), _arguments(data), text_of(data, "message")
    )


def _arguments(data: Data) -> str:
    """The JSON text of a call's `input`. The gateway wraps a text that is no JSON as `{"raw": text}`."""
    call_input = data.get("input")
    if isinstance(call_input, dict) and list(call_input) == ["raw"] and _is_broken_object(call_input["raw"]):
        return str(call_input["raw"])
    return json.dumps(call_input or {}, ensure_ascii=False, separators=(",", ":"))


def _is_broken_object(value: Any) -> bool:
    """Whether this is the text of a broken JSON object; any other text may be an argument that is named `raw`."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return True
    return False


def _tool_result(data: Data) -> Event:
    result = data.get("result")
    content = result.get("content") if isinstance(result, dict) else result
    failed = data.get("isError") or (isinstance(result, dict) and result.get("success") is False)
    name = text_of(data, "name")
    return ToolFinished(
        text_of(data, "callId"),
        name,
        _plain_text(content),
        bool(failed),
        _seconds(data),
        _is_placeholder(content, name),
    )


def _tool_handled(data: Data) -> Event | None:
    """Only that the gateway has run the tool: the result is not shown to clients. None for a placeholder."""
    result = data.get("result")
    content = result.get("content") if isinstance(result, dict) else result
    if _is_placeholder(content, text_of(data, "name")):
        return None
    return ToolCallHandled(text_of(data, "callId"))


def _is_placeholder(content: Any, name: str) -> bool:
    text = content[0] if isinstance(content, list) and len(content) == 1 else content
    if isinstance(text, dict):
        text = text.get("text")
    return bool(text == PLACEHOLDER % name)


def _spawn_end(data: Data) -> Event:
    name = text_of(data, "label") or text_of(data, "componentName") or "child"
    return SubagentFinished(name, _plain_text(data.get("output")), bool(data.get("isError")))


def _fork_end(data: Data) -> Event:
    return SubagentFinished("fork", _plain_text(data.get("selectedBranch")), False)


def _plain_text(content: Any) -> str:
    """A result as text for people: the text of its blocks, or its JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(block, dict) for block in content):
        return " ".join(text_of(block, "text") or f"[{text_of(block, 'type')}]" for block in content)
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def _seconds(data: Data) -> float | None:
    try:
        started, completed = (datetime.fromisoformat(data[key]) for key in ("startedAt", "completedAt"))
        return max((completed - started).total_seconds(), 0.0)
    except (KeyError, TypeError, ValueError):
        return None


def _message_completed(holder: Data, message: Any) -> Event | None:
    if not isinstance(message, dict) or message.get("role", "assistant") != "assistant":
        return None
    content = message.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    return MessageCompleted(
        "".join(text_of(block, "text") for block in blocks if block.get("type") == "text"),
        "".join(text_of(block, "text") for block in blocks if block.get("type") == "reasoning"),
        text_of(holder, "stopReason"),
        _usage(holder),
    )


def _model_response(data: Data) -> Event | None:
    output = data.get("modelOutput")
    return _message_completed(output, output.get("message")) if isinstance(output, dict) else None


def _entry_committed(data: Data) -> Event | None:
    entry = data.get("entry")
    return _message_completed({}, entry.get("message")) if isinstance(entry, dict) else None


def _model_failed(data: Data) -> Event:
    error = data.get("error")
    return ModelFailed(text_of(error, "message") if isinstance(error, dict) else "")


def _result(data: Data) -> Event:
    result = data.get("result")
    if not isinstance(result, dict):
        return RunResult("", "", None)
    return RunResult(text_of(result, "response"), text_of(result, "stopReason"), _usage(result))


def _is_text(data: Data) -> bool:
    return bool(data.get("blockType", "text") == "text")


def _text_delta(data: Data) -> Event | None:
    return TextDelta(text_of(data, "delta")) if _is_text(data) else None


def _text_start(data: Data) -> Event | None:
    return _TEXT_STARTED if _is_text(data) else None


def _text_end(data: Data) -> Event | None:
    metadata = data.get("metadata")
    cited = metadata.get("citations") if isinstance(metadata, dict) and _is_text(data) else None
    if not isinstance(cited, list):
        return None
    return TextCited(tuple(_citation(each) for each in cited if isinstance(each, dict) and text_of(each, "url")))


def _citation(data: Data) -> Citation:
    return Citation(
        text_of(data, "url"), text_of(data, "title"), _count(data.get("startIndex")), _count(data.get("endIndex"))
    )


_RUN_STARTED, TICK_STARTED, _TEXT_STARTED = RunStarted(), TickStarted(), TextStarted()

PARSERS: dict[str, Callable[[Data], Event | None]] = {
    "execution_start": lambda data: _RUN_STARTED,
    "tick_start": lambda data: TICK_STARTED,
    "message_start": lambda data: None,
    "content_start": _text_start,
    "content_delta": _text_delta,
    "content_end": _text_end,
    "reasoning_delta": lambda data: ReasoningDelta(text_of(data, "delta")),
    "tool_call_start": lambda data: ToolCallStarted(text_of(data, "callId"), text_of(data, "name")),
    "tool_call_delta": lambda data: ToolCallDelta(text_of(data, "callId"), text_of(data, "delta")),
    "tool_call_end": lambda data: ToolCallEnded(text_of(data, "callId")),
    "tool_call": _tool_call,
    "message_end": lambda data: MessageEnded(text_of(data, "stopReason"), _usage(data)),
    "usage": lambda data: MessageUsed(_usage(data)),
    "tool_result_start": lambda data: ToolStarted(text_of(data, "callId"), text_of(data, "name")),
    "tool_result": _tool_handled,
    "tool_confirmation_required": _confirmation,
    "tick_end": lambda data: TickEnded(bool(data.get("shouldContinue")), text_of(data, "stopReason"), _usage(data)),
    "error": _model_failed,
    "engine_error": _model_failed,
    "result": _result,
}

TOOL_ACTIVITY: dict[str, Callable[[Data], Event | None]] = {
    "tool_result": _tool_result,
    "spawn_start": lambda data: None,
    "spawn_end": _spawn_end,
    "fork_end": _fork_end,
}
"""Parsers of the agent's own tool calls and child executions, used in addition to PARSERS if clients see these."""

DUPLICATES: dict[str, Callable[[Data], Event | None]] = {
    "message": lambda data: _message_completed(data, data.get("message")),
    "model_response": _model_response,
    "entry_committed": _entry_committed,
}
