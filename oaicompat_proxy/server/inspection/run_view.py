"""The JSON form of one run, as the inspector's page reads it; `README.md` describes it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ...api.protocol import ClientApi
from ...core.answer_options import AnswerOptions
from ...core.recorded_fields import RecordedFields
from ...dialects.registry import DIALECTS
from ...pipeline.correlation import HEAD, ClientEvent, Correlator, RecordedFrame
from ...pipeline.time_line import Span
from ...recordings.masking import event_name, mask, mask_name

MAX_ROWS = 20_000
"""Frames, and events, of one run that are shown; the rest is only counted."""

TEXT_BUDGET = 8 * 1024 * 1024
"""Characters of frames and events of one run that are shown; of the later ones only the first SHORT."""
SHORT = 160

_KIND = re.compile(rb'"(?:object|type)"\s*:\s*"([a-z_.]{1,60})"')
_EVENT = re.compile(rb"^event: ?([\w.]{1,60})", re.MULTILINE)
_DONE = re.compile(rb"^data: ?\[DONE\]")

Json = dict[str, Any]
Show = Callable[[bytes, RecordedFields], str]
"""Bytes of an event as text, masked if texts are masked."""


class RunView:
    """Receives the entries of a run in their order; `take` returns the changes since the last call."""

    def __init__(self, api: ClientApi, options: AnswerOptions, *, content: bool, secrets: Sequence[str] = ()) -> None:
        """`content`: texts are shown. `secrets`: tokens that are never shown."""
        self._api = api
        self._native = DIALECTS[options.dialect].recorded_fields
        self._content = content
        self._secrets = [each.encode() for each in secrets if each]
        # state
        self._correlator = Correlator(api, options)
        self._marks: list[Json] = []
        self._shown = (0, 0)
        """Frames and events that were taken."""
        self._budget = TEXT_BUDGET

    def add(self, ms: float, kind: str, data: bytes) -> None:
        """Adds an entry. `kind`: as in `inspected_run.Item`."""
        match kind:
            case "native":
                self._correlator.native(ms, data)
            case "client":
                self._correlator.client(ms, data)
            case "body":
                self._correlator.body(ms, data)
            case "run":
                self._correlator.restart(ms)
                self._marks.append({"ms": _ms(ms), "kind": kind})
            case "ping" | "slow" | "quick":
                self._marks.append({"ms": _ms(ms), "kind": kind})

    def end(self, ms: float) -> None:
        self._correlator.end(ms)

    def changes(self) -> Json:
        """The frames and events since the last call, and all spans and marks."""
        frames, events = self._correlator.frames, self._correlator.events
        seen_frames, seen_events = self._shown
        self._shown = len(frames), len(events)
        return {
            "frames": [self._frame(each) for each in frames[seen_frames:MAX_ROWS]],
            "events": [self._event(each) for each in events[seen_events:MAX_ROWS]],
            "frames_total": len(frames),
            "events_total": len(events),
            "spans": [self._span(each) for each in self._correlator.time_line.spans],
            "marks": self._marks,
        }

    def show(self, data: bytes, fields: RecordedFields) -> str:
        """The text of some bytes, without secrets, and masked if texts are masked."""
        for secret in self._secrets:
            data = data.replace(secret, b"[redacted]")
        shown = data if self._content else mask(data, fields)
        return shown.decode("utf-8", "replace")

    def _frame(self, frame: RecordedFrame) -> Json:
        return {
            "n": frame.number,
            "ms": _ms(frame.ms),
            "bytes": frame.size,
            "name": self._name(event_name(frame.head, self._native)),
            "use": frame.use,
            "kinds": frame.kinds,
            **self._text(frame.head, frame.size, self._native),
        }

    def _event(self, event: ClientEvent) -> Json:
        fields = self._api.recorded_fields
        return {
            "n": event.number,
            "ms": _ms(event.ms),
            "bytes": event.size,
            "name": _event_kind(event.head),
            "frame": event.frame,
            **self._text(event.head, event.size, fields),
        }

    def _text(self, head: bytes, size: int, fields: RecordedFields) -> Json:
        text = self.show(head, fields).rstrip("\r\n")
        self._budget -= len(text)
        if self._budget < 0:
            return {"text": text[:SHORT], "whole": len(text) <= SHORT}
        return {"text": text, "whole": size <= HEAD}

    def _span(self, span: Span) -> Json:
        return {
            "lane": span.lane,
            "name": self._name(span.name) if span.lane != "tick" else span.name,
            "begin": _ms(span.begin),
            "end": None if span.end is None else _ms(span.end),
            "frame": span.frame,
            "failed": span.failed,
        }

    def _name(self, name: str) -> str:
        return name if self._content else mask_name(name)


def _event_kind(head: bytes) -> str:
    """The API's name of the event."""
    if _DONE.match(head):
        return "done"
    found = _EVENT.search(head) or _KIND.search(head)
    return found[1].decode() if found else ""


def _ms(ms: float) -> float:
    return round(ms, 2)
