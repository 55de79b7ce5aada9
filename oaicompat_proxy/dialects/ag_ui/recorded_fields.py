"""The fields of AG-UI's events that a masked recording shows.

Source: AG-UI 1.0 (`ag-ui-protocol`), and the events of versions 0.x. The thread's id stays masked, because it
gives access to the thread.
"""

from __future__ import annotations

from ...core.recorded_fields import Fields, Readable, RecordedFields

ID, NAME, TIME, NUMBER, _, FAILURE, OUTPUT = Readable

_ROLES = frozenset({"developer", "system", "assistant", "user", "tool", "activity", "reasoning"})
_STOP_REASONS = frozenset({"guardrail_intervened", "content_filtered", "max_tokens"})
_FINISH_REASONS = _STOP_REASONS | {
    *("stop", "length", "content_filter", "content-filter", "tool-calls", "tool_calls", "error"),
    *("max_output_tokens", "safety"),
}

_PART: Fields = {
    "type": frozenset({"text", "image", "audio", "video", "document", "binary"}),
    "text": OUTPUT,
    "": OUTPUT,
}
_CALL: Fields = {"toolCallId": ID, "toolCallName": NAME, "parentMessageId": ID}
_TEXT: Fields = {"messageId": ID, "role": _ROLES, "delta": None}
_MESSAGE: Fields = {
    "id": ID,
    "role": _ROLES,
    "content": _PART,
    "toolCallId": ID,
    "toolCalls": {
        "id": ID,
        "type": frozenset({"function"}),
        "function": {"name": NAME, "arguments": None},
    },
    "subagentRunId": ID,
}
_USAGE: Fields = {
    "provider": NAME,
    "model": NAME,
    **dict.fromkeys(("inputTokens", "outputTokens", "totalTokens", "reasoningTokens", "cachedInputTokens"), NUMBER),
    "cacheWriteInputTokens": NUMBER,
}
_INTERRUPT: Fields = {
    "id": ID,
    "reason": None,
    "message": None,
    "toolCallId": ID,
    "responseSchema": None,
    "expiresAt": TIME,
    "metadata": None,
    "subagentRunId": ID,
}
_OUTCOMES = frozenset({"success", "interrupt", "cancelled", "suspended"})
_OUTCOME: Fields = {
    "": _OUTCOMES,
    "type": _OUTCOMES,
    "pendingToolCallIds": ID,
    "interruptIds": ID,
    "interrupts": _INTERRUPT,
}
_RUN: Fields = {"threadId": None, "runId": ID, "parentRunId": ID}
_SUBAGENT: Fields = {"name": NAME, "parentSubagentRunId": ID, "parentToolCallId": ID, "parentMessageId": ID}
_FINISH: Fields = {"finishReason": _FINISH_REASONS}

_EVENTS: dict[str, Fields] = {
    "RUN_STARTED": {**_RUN, "protocolVersion": frozenset({"1.0", "1.1"}), "input": None},
    "RUN_FINISHED": {
        **_RUN,
        "result": None,
        "outcome": _OUTCOME,
        "interrupt": _INTERRUPT,
        "interrupts": _INTERRUPT,
        "usage": _USAGE,
        "metadata": _FINISH,
    },
    "RUN_ERROR": {"runId": ID, "message": FAILURE, "code": FAILURE, "usage": _USAGE},
    "STEP_STARTED": {"stepName": None},
    "STEP_FINISHED": {"stepName": None},
    "TEXT_MESSAGE_START": {**_TEXT, "metadata": _FINISH},
    "TEXT_MESSAGE_CONTENT": {**_TEXT, "metadata": _FINISH},
    "TEXT_MESSAGE_END": {**_TEXT, "metadata": _FINISH},
    "TEXT_MESSAGE_CHUNK": {**_TEXT, "metadata": _FINISH},
    "TOOL_CALL_START": _CALL,
    "TOOL_CALL_ARGS": {**_CALL, "delta": None},
    "TOOL_CALL_END": _CALL,
    "TOOL_CALL_CHUNK": {**_CALL, "delta": None},
    "TOOL_CALL_RESULT": {"messageId": ID, "toolCallId": ID, "content": _PART, "role": _ROLES},
    "REASONING_START": {"messageId": ID},
    "REASONING_MESSAGE_START": _TEXT,
    "REASONING_MESSAGE_CONTENT": _TEXT,
    "REASONING_MESSAGE_END": _TEXT,
    "REASONING_MESSAGE_CHUNK": _TEXT,
    "REASONING_END": {"messageId": ID},
    "REASONING_ENCRYPTED_VALUE": {"subtype": frozenset({"tool-call", "message"}), "entityId": ID},
    "THINKING_START": {"title": None},
    "THINKING_TEXT_MESSAGE_START": {},
    "THINKING_TEXT_MESSAGE_CONTENT": {"delta": None},
    "THINKING_TEXT_MESSAGE_END": {},
    "THINKING_END": {},
    "STATE_SNAPSHOT": {"snapshot": None},
    "STATE_DELTA": {"delta": None},
    "MESSAGES_SNAPSHOT": {"messages": _MESSAGE},
    "ACTIVITY_SNAPSHOT": {"messageId": ID, "activityType": None, "content": None, "replace": None},
    "ACTIVITY_DELTA": {"messageId": ID, "activityType": None, "patch": None},
    "SUBAGENT_STARTED": {**_SUBAGENT, "description": None},
    "SUBAGENT_FINISHED": {"result": None, "outcome": _OUTCOME},
    "SUBAGENT_ERROR": {"message": FAILURE, "code": FAILURE},
    "RAW": {"event": None, "source": None},
    "CUSTOM": {"name": frozenset({"on_interrupt", "AgentStopped"}), "value": {"stop_reason": _STOP_REASONS}},
}

_BASE: Fields = {"type": frozenset(_EVENTS), "timestamp": TIME, "rawEvent": None, "metadata": None, "subagentRunId": ID}

RECORDED_FIELDS = RecordedFields(
    event_names=(("type",),),
    events={name: {**_BASE, **fields} for name, fields in _EVENTS.items()},
    unknown=_BASE,
)
