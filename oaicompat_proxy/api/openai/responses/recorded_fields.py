"""The fields of answers of the Responses API that a masked recording shows.

Source: OpenAI API description, `ResponseStreamEvent`, `Response`.
"""

from __future__ import annotations

from ....core.recorded_fields import Fields, Readable, RecordedFields
from ..recorded_fields import ERROR

ID, NAME, TIME, NUMBER, _, FAILURE, _ = Readable

_PLACE: Fields = {
    "type": NAME,
    "sequence_number": NUMBER,
    "item_id": ID,
    "output_index": NUMBER,
    "content_index": NUMBER,
    "summary_index": NUMBER,
    "annotation_index": NUMBER,
}
_CITATION: Fields = {"type": NAME, "start_index": NUMBER, "end_index": NUMBER, "url": None, "title": None}
_PART: Fields = {"type": NAME, "text": None, "annotations": _CITATION, "logprobs": None}
_STATUS = frozenset({"in_progress", "completed", "incomplete", "failed"})
_ITEM: Fields = {
    "id": ID,
    "type": NAME,
    "status": _STATUS,
    "role": frozenset({"assistant"}),
    "content": _PART,
    "summary": _PART,
    "call_id": ID,
    "name": NAME,
    "server_label": NAME,
    "arguments": None,
    "encrypted_content": None,
    "input": None,
    "output": None,
    "error": {"type": NAME, "content": None},
    "approval_request_id": ID,
}
_USAGE: Fields = {
    **dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), NUMBER),
    "input_tokens_details": {"cached_tokens": NUMBER, "cache_write_tokens": NUMBER},
    "output_tokens_details": {"reasoning_tokens": NUMBER},
}
_RESPONSE: Fields = {
    "id": ID,
    "object": frozenset({"response"}),
    "created_at": NUMBER,
    "completed_at": NUMBER,
    "model": NAME,
    "status": _STATUS,
    "error": ERROR,
    "incomplete_details": {"reason": NAME},
    "output": _ITEM,
    "usage": _USAGE,
    "background": None,
    "previous_response_id": ID,
}
"""A response also repeats fields of its request. They are masked, beginning with `background`."""

RECORDED_FIELDS = RecordedFields(
    event_names=(("type",),),
    events={"": {**_RESPONSE, "error": ERROR}},
    unknown={**_PLACE, "item": _ITEM, "part": _PART, "annotation": _CITATION, "response": _RESPONSE, "error": ERROR},
)
