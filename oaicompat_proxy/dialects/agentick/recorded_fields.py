"""The fields of Agentick's frames that a masked recording shows.

Source: `agenticklabs/agentick` 0.9.4 to 0.14, `packages/shared/src/streaming.ts`. The session's key stays masked,
because it gives access to the session.
"""

from __future__ import annotations

from ...core.recorded_fields import Fields, Readable, RecordedFields

ID, NAME, TIME, NUMBER, PLACEHOLDER, FAILURE, _ = Readable

_ROLES = frozenset({"user", "assistant", "system", "tool", "event"})
_EXECUTORS = frozenset({"engine", "adapter", "provider", "client"})
_STOP_REASONS = frozenset(
    {
        *("natural_completion", "explicit_completion", "stop", "stop_sequence", "max_tokens", "content_filter"),
        *("tool_use", "function_call", "paused", "format_error", "empty_response", "no_content", "error", "other"),
        *("unspecified", "tool_calls", "length", "end_turn"),
    }
)
_BLOCK_TYPES = frozenset(
    {
        *("text", "image", "document", "audio", "video", "tool_use", "tool_result", "reasoning", "json", "xml", "csv"),
        *("html", "code", "generated_image", "generated_file", "executable_code", "code_execution_result"),
        *("user_action", "system_event", "state_change"),
    }
)

_INPUT: Fields = {"raw": None}
"""A call's arguments. `raw` holds text that is not a JSON object; all other keys are the tool's own."""
_USAGE: Fields = {
    **dict.fromkeys(("inputTokens", "outputTokens", "totalTokens", "reasoningTokens", "cachedInputTokens"), NUMBER),
    **dict.fromkeys(("cacheCreationTokens", "ticks"), NUMBER),
}
_CITATION: Fields = {"url": None, "title": None, "startIndex": NUMBER, "endIndex": NUMBER}
_BLOCK: Fields = {
    "type": _BLOCK_TYPES,
    "id": ID,
    "toolUseId": ID,
    "name": NAME,
    "text": None,
    "input": _INPUT,
    "isError": None,
    "executedBy": _EXECUTORS,
    "content": {"type": _BLOCK_TYPES, "text": None},
}
_RESULT: Fields = {**_BLOCK, "text": PLACEHOLDER, "": PLACEHOLDER}
_MESSAGE: Fields = {"role": _ROLES, "id": ID, "content": _BLOCK, "toolCallId": ID}
_ENTRY: Fields = {"id": ID, "kind": frozenset({"message", "event"}), "message": _MESSAGE}
_ERROR: Fields = {"": FAILURE, "name": NAME, "code": NAME, "message": FAILURE}
_BLOCK_EVENT: Fields = {"blockType": _BLOCK_TYPES, "blockIndex": NUMBER}
_CALL: Fields = {"callId": ID, "name": NAME, "blockIndex": NUMBER}
_PERIOD: Fields = {"startedAt": TIME, "completedAt": TIME}
_MODEL_OUTPUT: Fields = {
    "model": NAME,
    "message": _MESSAGE,
    "usage": _USAGE,
    "stopReason": _STOP_REASONS,
    "toolCalls": {"id": ID, "name": NAME, "input": _INPUT},
}
_CHILD: Fields = {
    **dict.fromkeys(("spawnId", "forkId", "originCallId", "parentExecutionId", "childExecutionId"), ID),
    "label": None,
    "componentName": NAME,
    "output": None,
    "isError": None,
    "usage": _USAGE,
}

_EVENTS: dict[str, Fields] = {
    "execution_start": {"componentName": NAME, "parentExecutionId": ID, "rootExecutionId": ID},
    "tick_start": {},
    "compiled": {},
    "model_request": {"modelId": NAME},
    "provider_request": {"modelId": NAME, "provider": NAME},
    "provider_response": {"modelId": NAME, "provider": NAME},
    "message_start": {"role": _ROLES, "model": NAME},
    "content_start": _BLOCK_EVENT,
    "content_delta": {**_BLOCK_EVENT, "delta": None},
    "content_end": {**_BLOCK_EVENT, "metadata": {"citations": _CITATION}},
    "content": {**_BLOCK_EVENT, **_PERIOD, "content": _BLOCK},
    "reasoning_start": _BLOCK_EVENT,
    "reasoning_delta": {**_BLOCK_EVENT, "delta": None},
    "reasoning_end": _BLOCK_EVENT,
    "reasoning": {**_BLOCK_EVENT, **_PERIOD, "reasoning": None},
    "tool_call_start": _CALL,
    "tool_call_delta": {**_CALL, "delta": None},
    "tool_call_end": _CALL,
    "tool_call": {**_CALL, **_PERIOD, "input": _INPUT},
    "usage": {"usage": _USAGE},
    "message_end": {"stopReason": _STOP_REASONS, "usage": _USAGE},
    "message": {**_PERIOD, "message": _MESSAGE, "stopReason": _STOP_REASONS, "usage": _USAGE, "model": NAME},
    "model_response": {"modelOutput": _MODEL_OUTPUT},
    "error": {"error": _ERROR},
    "engine_error": {"error": _ERROR},
    "tool_result_start": _CALL,
    "tool_result": {
        **_CALL,
        **_PERIOD,
        "result": {"toolUseId": ID, "name": NAME, "success": None, "content": _RESULT, "executedBy": _EXECUTORS},
        "isError": None,
        "executedBy": _EXECUTORS,
    },
    "tool_confirmation_required": {**_CALL, "input": _INPUT, "message": None},
    "tool_confirmation_result": {**_CALL, "confirmed": None},
    "entry_committed": {"entry": _ENTRY, "timelineIndex": NUMBER},
    "tick_end": {"shouldContinue": None, "stopReason": _STOP_REASONS, "usage": _USAGE, "model": NAME},
    "context_update": {"modelId": NAME, "modelName": NAME, "provider": NAME, "contextWindow": NUMBER, **_USAGE},
    "spawn_start": _CHILD,
    "spawn_end": _CHILD,
    "fork_start": _CHILD,
    "fork_end": {**_CHILD, "selectedBranch": None},
    "result": {"result": {"response": None, "outputs": None, "stopReason": _STOP_REASONS, "usage": _USAGE}},
    "execution_end": {
        "stopReason": _STOP_REASONS,
        "aborted": None,
        "error": _ERROR,
        "usage": _USAGE,
        "output": None,
        "newTimelineEntries": _ENTRY,
    },
}

_NAMES = frozenset(_EVENTS)
_FRAME: Fields = {"type": frozenset({"event"}), "event": _NAMES, "sessionId": None, "data": None}
_BASE: Fields = {
    "type": _NAMES,
    "id": ID,
    "executionId": ID,
    "sequence": NUMBER,
    "tick": NUMBER,
    "timestamp": TIME,
    "spawnPath": None,
}


def _frame(name: str) -> Fields:
    return {**_FRAME, "data": {**_BASE, **_EVENTS[name]}}


RECORDED_FIELDS = RecordedFields(
    event_names=(("event",), ("data", "type")),
    events={"": {"error": _ERROR}} | {name: _frame(name) for name in _EVENTS},
    unknown={**_FRAME, "data": {"type": None}},  # the key stays, so that a masked event is still one with a name
)
