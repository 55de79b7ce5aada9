"""The fields of answers of the Messages API that a masked recording shows.

Source: `api/anthropic/PROTOCOL.md`, "Stream" and "Message".
"""

from __future__ import annotations

from ...core.recorded_fields import Fields, Readable, RecordedFields

ID, NAME, TIME, NUMBER, _, FAILURE, _ = Readable

_CITATION: Fields = {"type": NAME, "url": None, "title": None, "cited_text": None, "encrypted_index": None}
_RESULT: Fields = {"type": NAME, "text": None}
_BLOCK: Fields = {
    "type": NAME,
    "text": None,
    "thinking": None,
    "signature": ID,
    "citations": _CITATION,
    "id": ID,
    "tool_use_id": ID,
    "name": NAME,
    "server_name": NAME,
    "input": None,
    "is_error": frozenset({"true", "false"}),
    "content": _RESULT,
}
_STOP = frozenset({"end_turn", "max_tokens", "tool_use", "refusal"})
_DELTA: Fields = {
    "type": NAME,
    "text": None,
    "thinking": None,
    "partial_json": None,
    "signature": ID,
    "citation": _CITATION,
    "stop_reason": _STOP,
    "stop_sequence": None,
}
_USAGE: Fields = {
    **dict.fromkeys(("input_tokens", "output_tokens"), NUMBER),
    **dict.fromkeys(("cache_creation_input_tokens", "cache_read_input_tokens"), NUMBER),
    "output_tokens_details": {"thinking_tokens": NUMBER},
}
_MESSAGE: Fields = {
    "id": ID,
    "type": frozenset({"message"}),
    "role": frozenset({"assistant"}),
    "model": NAME,
    "content": _BLOCK,
    "stop_reason": _STOP,
    "stop_sequence": None,
    "usage": _USAGE,
}
_ERROR: Fields = {"type": NAME, "message": FAILURE}

RECORDED_FIELDS = RecordedFields(
    event_names=(("type",),),
    events={
        "message": _MESSAGE,
        "message_start": {"type": NAME, "message": _MESSAGE},
        "content_block_start": {"type": NAME, "index": NUMBER, "content_block": _BLOCK},
        "content_block_delta": {"type": NAME, "index": NUMBER, "delta": _DELTA},
        "content_block_stop": {"type": NAME, "index": NUMBER},
        "message_delta": {"type": NAME, "delta": _DELTA, "usage": _USAGE},
        "message_stop": {"type": NAME},
        "ping": {"type": NAME},
        "error": {"type": NAME, "error": _ERROR},
    },
    unknown={},
)
