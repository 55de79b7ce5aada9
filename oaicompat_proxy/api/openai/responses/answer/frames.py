"""Server-sent events of a Responses stream, as bytes.

The event's name is in the `event:` line and as `type` in the data, followed by `sequence_number`.

Source: OpenAI API description, `ResponseStreamEvent`.
"""

from __future__ import annotations

from typing import NamedTuple

_STEP = 1000
_NUMBERS = [b'%d,"delta":"' % number for number in range(_STEP)]
_PADDED_NUMBERS = [b'%03d,"delta":"' % number for number in range(_STEP)]
"""The last three digits of a sequence number: formatting each of them would cost as much as the rest of a delta."""

_END = b'"}\n\n'


class Event(NamedTuple):
    type: str
    fields: bytes
    """The members after `sequence_number`, as JSON without braces."""


def encode_event(event: Event, number: int) -> bytes:
    kind = event.type.encode()
    return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (kind, kind, number, event.fields)


class DeltaFrames:
    """Encodes the deltas of one content part. Only numbers and texts differ; the other bytes are made once."""

    __slots__ = ("_base", "_between", "_first", "_numbers", "_start")

    def __init__(self, kind: bytes, fields: bytes) -> None:
        """`fields`: the members that all deltas share."""
        self._start = b'event: %b\ndata: {"type":"%b",%b,"sequence_number":' % (kind, kind, fields)
        # state
        self._base = -_STEP
        self._first = self._between = b""
        self._numbers = _NUMBERS

    def encode(self, number: int, texts: list[bytes]) -> bytes:
        """One event for each text, which is the inside of a JSON string; the first has this number."""
        low = number - self._base
        if not 0 <= low < _STEP:
            low = self._count_from(number)
        count = len(texts)
        if count == 1:
            return b"".join((self._first, self._numbers[low], texts[0], _END))
        if low + count > _STEP:
            here = _STEP - low
            return self.encode(number, texts[:here]) + self.encode(number + here, texts[here:])
        pieces = [self._between] * (3 * count + 1)
        pieces[0] = self._first
        pieces[1::3] = self._numbers[low : low + count]
        pieces[2::3] = texts
        pieces[-1] = _END
        return b"".join(pieces)

    def _count_from(self, number: int) -> int:
        """Returns the number's last three digits; the digits before them become part of the shared bytes."""
        thousands, low = divmod(number, _STEP)
        self._base = thousands * _STEP
        self._first = self._start + (b"%d" % thousands if thousands else b"")
        self._between = _END + self._first
        self._numbers = _PADDED_NUMBERS if thousands else _NUMBERS
        return low
