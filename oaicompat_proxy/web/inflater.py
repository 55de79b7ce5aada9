"""Events that came compressed although nobody asked: some box between us and the gateway may do that."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ..errors import UpstreamError

PIECE = 256 * 1024
"""Bytes that are inflated at a time: a small read may hold gigabytes."""

_ANY_HEADER = 47
"""zlib's `wbits` for gzip and zlib streams alike."""


class Inflater:
    """gzip or deflate, piece by piece."""

    def __init__(self, encoding: str) -> None:
        """Raises UpstreamError for an encoding that is neither."""
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise UpstreamError(f"The agent gateway's events are compressed with {encoding[:20]}, unasked.")
        self._inflater = zlib.decompressobj(_ANY_HEADER)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` holds. Raises UpstreamError if it is no such stream."""
        while data:
            try:
                piece = self._inflater.decompress(data, PIECE)
            except zlib.error:
                raise UpstreamError("The agent gateway's compressed events cannot be read.") from None
            data = self._inflater.unconsumed_tail
            if piece:
                yield piece
