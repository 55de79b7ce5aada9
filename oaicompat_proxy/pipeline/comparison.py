"""Translates a recorded run with the current code, and compares the answer with the recorded one."""

from __future__ import annotations

import difflib
import re
from itertools import takewhile

import orjson

from ..api.protocol import ClientApi
from ..api.registry import APIS
from ..core.answer import Envelope
from ..core.errors import AgentOutputInvalid
from ..core.sse import DONE
from ..dialects.registry import DIALECTS
from ..recordings.format import Recording, RecordingError
from ..recordings.masking import mask
from ..translation.confirmations import CONFIRM_TOOL
from .pipeline import ClientAnswer, Pipeline

UNKNOWN_ENVELOPE = Envelope("chatcmpl-replay", 0, "replay")

_COMMENT = re.compile(rb"^:[^\n]*\n\n", re.MULTILINE)
_NAME = CONFIRM_TOOL.encode()
_SIGNED_ID = re.compile(
    rb'"(?:call_)?id":"[^"]*"(?=,"type":"function","function":\{"name":"%b"|,"name":"%b"|,"type":"mcp_approval_request")'
    % (_NAME, _NAME)
)
_COMPLETED_AT = re.compile(rb'"completed_at":\d+')
_ECHO = re.compile(rb',"background":[^\n]*')
"""The request fields that the Responses API repeats in a response; a masked recording lacks them."""


_FAILURES = (
    'data: {"error"',
    DONE.decode().strip(),
    '{"error"',
    "event: error",
    'data: {"type":"error"',
    '{"type":"error"',
)
"""The first characters of the lines of a failure."""


def translate(recording: Recording) -> ClientAnswer:
    """The answer that the current code makes of the recorded run."""
    find_run_id = DIALECTS[recording.options.dialect].find_run_id
    run_ids = map(find_run_id, recording.runs())
    run_id = next(run_ids, "")
    pipeline = Pipeline(_api_of(recording), recording.options, _find_envelope(recording), run_id=run_id)
    last = next((entry for entry in reversed(recording.entries) if entry.kind == "native"), None)
    for entry in recording.entries:
        if entry.kind == "client":
            pipeline.open()  # the recorded proxy wrote here; without parts it committed early
        elif entry.kind == "native":
            pipeline.feed(entry.data)
        elif entry.kind == "run":
            pipeline.restart(next(run_ids, ""))
        if entry is last:
            pipeline.close()
    return pipeline.finish()


def _api_of(recording: Recording) -> ClientApi:
    """Raises RecordingError if this release does not have the API of the recording."""
    api = APIS.get(recording.options.api)
    if api is None:
        raise RecordingError(f"this release does not know the API of the recording: {recording.options.api[:60]!r}")
    return api


def _find_envelope(recording: Recording) -> Envelope:
    """The envelope of the recorded answer, from its first object."""
    first = next((line for line in recording.bytes_of("client").split(b"\n") if line.startswith(b"data: {")), b"")
    try:
        answer = orjson.loads(first.removeprefix(b"data: ") or recording.bytes_of("body"))
        return _api_of(recording).read_envelope(answer)
    except (ValueError, TypeError, KeyError, AttributeError):
        return UNKNOWN_ENVELOPE


def compare(recording: Recording) -> list[str]:
    """The differences between the recorded and the current answer, as lines of a unified diff; empty if equal.

    Of an interrupted answer only the recorded part is compared. Raises ValueError if no answer was recorded.
    """
    then = [*_lines(recording, recording.bytes_of("client")), *_lines(recording, recording.bytes_of("body"))]
    if not then:
        raise ValueError("no answer was recorded, so there is nothing to compare with")
    today = translate(recording)
    now = _lines(recording, today.data)
    if AgentOutputInvalid.head in "".join(then):  # a recording has no schema, so the current answer is not checked
        then = _until_failure(then)
        now = now[: len(then)]
    if today.is_cut:
        then, now = _without_failure(then), _without_failure(now)
    if recording.bytes_of("end") not in (b"answered", b"failed"):
        now = now[: len(then)]
    return list(difflib.unified_diff(then, now, "recorded", "today", n=1, lineterm=""))


def _without_failure(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith(_FAILURES)]


def _until_failure(lines: list[str]) -> list[str]:
    before = list(takewhile(lambda line: not line.startswith(_FAILURES), lines))
    if before and before[-1].startswith("event:"):  # it belongs to the failure
        before.pop()
    return before


def _lines(recording: Recording, answer: bytes) -> list[str]:
    """The lines of the answer, without comments, without ids that contain a time and without the time of its end."""
    answer = _COMMENT.sub(b"", answer)
    answer = _COMPLETED_AT.sub(b'"completed_at":null', answer)
    answer = _SIGNED_ID.sub(b'"id":"(signed)"', answer)
    if recording.masked:
        answer = _ECHO.sub(b"", mask(answer, _api_of(recording).recorded_fields))
    return [line for line in answer.decode("utf-8", "replace").split("\n") if line]
