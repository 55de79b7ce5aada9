"""The fields of answers to OpenAI's clients that a masked recording shows.

Source: OpenAI API description, `CreateChatCompletionResponse`, `CreateCompletionResponse`, `ErrorResponse`.
"""

from __future__ import annotations

from ...core.recorded_fields import Fields, Readable, RecordedFields

ID, NAME, TIME, NUMBER, _, FAILURE, _ = Readable

_FUNCTION: Fields = {"name": NAME, "arguments": None}
_CALLED: Fields = {"function": _FUNCTION, "custom": {"name": NAME, "input": None}}
_CITATION: Fields = {"url": None, "title": None, "start_index": NUMBER, "end_index": NUMBER}
_MESSAGE: Fields = {
    "role": frozenset({"assistant"}),
    "content": None,
    "refusal": None,
    "reasoning_content": None,
    "reasoning": None,
    "annotations": {"type": frozenset({"url_citation"}), "url_citation": _CITATION},
    "tool_calls": {"index": NUMBER, "id": ID, "type": frozenset({"function", "custom"}), **_CALLED},
    "function_call": _FUNCTION,
}
_CHOICE: Fields = {
    "index": NUMBER,
    "delta": _MESSAGE,
    "message": _MESSAGE,
    "text": None,
    "logprobs": None,
    "finish_reason": frozenset({"stop", "length", "tool_calls", "function_call", "content_filter"}),
}
_USAGE: Fields = {
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), NUMBER),
    "prompt_tokens_details": {"cached_tokens": NUMBER, "cache_write_tokens": NUMBER},
    "completion_tokens_details": {"reasoning_tokens": NUMBER},
}
ERROR: Fields = {"message": FAILURE, "type": NAME, "param": NAME, "code": NAME}

RECORDED_FIELDS = RecordedFields(
    event_names=(),
    events={
        "": {
            "id": ID,
            "object": frozenset({"chat.completion.chunk", "chat.completion", "text_completion"}),
            "created": NUMBER,
            "model": NAME,
            "choices": _CHOICE,
            "usage": _USAGE,
            "error": ERROR,
        }
    },
    unknown={},
)
