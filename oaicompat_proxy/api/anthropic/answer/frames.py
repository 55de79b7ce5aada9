"""Server-sent events of a Messages stream, as bytes: an `event:` line, and the same name as `type` inside of the data.

Source: `api/anthropic/PROTOCOL.md`, "Stream". Official clients skip events without an `event:` line.
"""

from __future__ import annotations

_END = b'"}}\n\n'


def encode_event(kind: bytes, fields: bytes = b"") -> bytes:
    """`fields`: the members after `type`, each with a comma in front."""
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (kind, kind, fields)


PING = encode_event(b"ping")


class DeltaFrames:
    """Encodes deltas of one type in one block. Only the texts differ; the other bytes are made once."""

    __slots__ = ("_between", "_start")

    def __init__(self, index: int, kind: bytes, field: bytes) -> None:
        """`kind`: the delta's type. `field`: its member that holds the text."""
        name = b"content_block_delta"
        start = b'event: %b\ndata: {"type":"%b","index":%d,"delta":{"type":"%b","%b":"'
        self._start = start % (name, name, index, kind, field)
        self._between = _END + self._start

    def encode(self, texts: list[bytes]) -> bytes:
        """One event for each text, which is the inside of a JSON string. At least one."""
        return self._start + self._between.join(texts) + _END
