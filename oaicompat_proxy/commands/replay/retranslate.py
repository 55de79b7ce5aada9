"""A recorded run, translated by the code as it is today, and compared with what its client was given then."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from ...api.openai.chat.collector import Collector
from ...api.openai.chat.encoder import ChunkEncoder
from ...api.openai.completions.encoder import CompletionCollector, CompletionEncoder
from ...api.openai.errors import error_body, error_ending
from ...api.openai.recorded_fields import RECORDED_FIELDS
from ...core import sse
from ...core.answer import Envelope, Part
from ...core.errors import ProxyError
from ...dialects.registry import DIALECTS
from ...recordings.format import Entry, Manner, Recording
from ...recordings.masking import mask
from ...translation.confirmations import CONFIRM_TOOL
from ...translation.translator import Translator

MAX_FRAME = 64 * 1024 * 1024
"""Bytes of one event: no less than any proxy that recorded was set to."""

UNKNOWN_ENVELOPE = Envelope("chatcmpl-replay", 0, "replay")

_COMMENT = re.compile(rb"^:[^\n]*\n\n", re.MULTILINE)
_SIGNED_ID = re.compile(rb'"id":"[^"]*"(?=,"type":"function","function":\{"name":"' + CONFIRM_TOOL.encode() + rb'")')


class Played(NamedTuple):
    """An answer: a stream, or a body with its status."""

    stream: bytes | None
    status: int = 200
    body: bytes = b""
    is_cut: bool = False
    """The gateway's stream has no end: what became of it then, a recording does not hold."""


class _Run:
    """The chunks of the run, as they come; `failure` when it has one."""

    def __init__(self, recording: Recording) -> None:
        manner = recording.manner
        self._entries = recording.entries
        self._last = next((entry for entry in reversed(recording.entries) if entry.kind == "native"), None)
        """What the stream ends with."""
        with_deeds = manner.server_tools != "hide"
        dialect = DIALECTS[manner.dialect]
        run_id = dialect.find_run_id(recording.bytes_of("native"))
        self._reader = dialect.new_reader(
            max_frame=MAX_FRAME, with_deeds=with_deeds, resumed=manner.resumed, run_id=run_id
        )
        self._translator = Translator(
            model=manner.model,
            tool_names=frozenset(manner.tool_names),
            tick_separator=manner.tick_separator,
            server_tools=manner.server_tools,
            confirmations=manner.confirmations,
        )
        self.failure: ProxyError | None = None

    @property
    def is_cut(self) -> bool:
        return self.failure is not None and not self._reader.over

    def chunks(self) -> Iterator[Part]:
        try:
            for entry in self._entries:
                yield from self._take(entry)
                if self._translator.ended:
                    return
            self._translator.finish()
        except ProxyError as error:
            self.failure = error

    def _take(self, entry: Entry) -> Iterator[Part]:
        if entry.kind == "client":
            yield from self._translator.open()  # if nothing was said yet, this was the client that waited long enough
        elif entry.kind == "native":
            for event in self._reader.feed(entry.data):
                yield from self._translator.feed(event)
            if entry is self._last:
                for event in self._reader.settle(at_end=True):
                    yield from self._translator.feed(event)


def play(recording: Recording) -> Played:
    """What a client would be given today."""
    envelope = _find_envelope(recording)
    return _stream(recording, envelope) if recording.manner.stream else _collect(recording, envelope)


def _stream(recording: Recording, envelope: Envelope) -> Played:
    run = _Run(recording)
    encoder = _encoder(recording.manner, envelope)
    data = b"".join(map(encoder.encode, run.chunks()))
    if run.failure is None:
        return Played(data + sse.DONE)
    if not data:
        return Played(None, run.failure.status, error_body(run.failure), run.is_cut)
    return Played(data + error_ending(run.failure), is_cut=run.is_cut)


def _collect(recording: Recording, envelope: Envelope) -> Played:
    run, manner = _Run(recording), recording.manner
    collector: Collector | CompletionCollector = CompletionCollector(envelope, echo=manner.echo)
    if manner.endpoint == "chat":
        field, legacy = manner.reasoning_field, manner.legacy_functions
        collector = Collector(envelope, reasoning_field=field, legacy_functions=legacy)
    for chunk in run.chunks():
        collector.add(chunk)
    if run.failure is not None:
        return Played(None, run.failure.status, error_body(run.failure), run.is_cut)
    return Played(None, 200, collector.body())


def _encoder(manner: Manner, envelope: Envelope) -> ChunkEncoder | CompletionEncoder:
    if manner.endpoint == "completion":
        return CompletionEncoder(envelope, include_usage=manner.include_usage, echo=manner.echo)
    return ChunkEncoder(
        envelope,
        include_usage=manner.include_usage,
        reasoning_field=manner.reasoning_field,
        legacy_functions=manner.legacy_functions,
    )


def _find_envelope(recording: Recording) -> Envelope:
    """What the recorded answer was called: it says so in its first object."""
    first = next((line for line in recording.bytes_of("client").split(b"\n") if line.startswith(b"data: {")), b"")
    try:
        told = orjson.loads(first.removeprefix(b"data: ") or recording.bytes_of("body"))
        return Envelope(str(told["id"]), int(told["created"]), str(told["model"]))
    except (ValueError, TypeError, KeyError):
        return UNKNOWN_ENVELOPE


def compare(recording: Recording) -> list[str]:
    """The difference between the answer then and now, as lines of a unified diff; none if they are the same.

    Of an answer that was broken off only what there is of it is compared. Raises ValueError if no answer was recorded.
    """
    then = [*_lines(recording, recording.bytes_of("client")), *_lines(recording, recording.bytes_of("body"))]
    if not then:
        raise ValueError("no answer was recorded, so there is nothing to compare with")
    played = play(recording)
    now = [*_lines(recording, played.stream or b""), *_lines(recording, played.body)]
    if played.is_cut:
        then, now = _without_failure(then), _without_failure(now)
    if recording.bytes_of("end") not in (b"answered", b"failed"):
        now = now[: len(then)]
    return list(difflib.unified_diff(then, now, "recorded", "today", n=1, lineterm=""))


def _without_failure(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith(('data: {"error"', "data: [DONE]", '{"error"'))]


def _lines(recording: Recording, answer: bytes) -> list[str]:
    """The answer, without what may differ: comments, and ids that hold a time."""
    answer = _COMMENT.sub(b"", answer)
    answer = _SIGNED_ID.sub(b'"id":"(signed)"', answer)
    if recording.masked:
        answer = mask(answer, RECORDED_FIELDS)
    return [line for line in answer.decode("utf-8", "replace").split("\n") if line]
