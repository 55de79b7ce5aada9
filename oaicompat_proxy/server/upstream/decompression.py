"""Compressed streams, piece by piece: a small read may hold gigabytes.

gzip streams may have several members, one behind the other (RFC 1952, 2.2). What else stands behind the end of a
stream belongs to nothing, and is dropped unread.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ...core.errors import ProxyError, UpstreamError

PIECE = 256 * 1024
"""Bytes that are inflated at a time."""

SLICE = 16 * 1024
"""Bytes that are looked at at a time: each member that ends copies what is left of them."""

_ZLIB_HEADER = zlib.MAX_WBITS
_GZIP_HEADER = 16 + zlib.MAX_WBITS
_NO_HEADER = -zlib.MAX_WBITS
_DEFLATED = 8
"""How a stream with zlib's header begins, in the low half of its first byte."""


class Inflater:
    """gzip or deflate of the gateway's events: some box between us and the gateway may compress them unasked."""

    TAKES_NO_HEADER = False
    """Whether `deflate` may come without zlib's own frame, as some clients send it."""

    def __init__(self, encoding: str) -> None:
        """Raises UpstreamError for an encoding that is neither."""
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise self.unknown(encoding)
        self._is_gzip = encoding != "deflate"
        # moving
        self._member: zlib._Decompress | None = None
        self._members = 0
        self._has_output = False
        """Of the member that is read."""
        self.is_over = False
        """What comes from now on is no part of the stream."""

    @property
    def is_whole(self) -> bool:
        """Whether the stream may end here."""
        return self.is_over or (self._member is None and self._members > 0)

    def unknown(self, encoding: str) -> ProxyError:
        return UpstreamError(f"The agent gateway's events are compressed with {encoding[:20]}, unasked.")

    def broken(self) -> ProxyError:
        return UpstreamError("The agent gateway's compressed events cannot be read.")

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` holds. Raises UpstreamError if it is no such stream."""
        for start in range(0, len(data), SLICE):
            rest = data[start : start + SLICE]
            while rest and not self.is_over:
                if self._member is None:
                    self._member = self._begin(rest[0])
                piece, rest = self._inflate(self._member, rest)
                if piece:
                    yield piece

    def _begin(self, first: int) -> zlib._Decompress:
        self._members += 1
        self._has_output = False
        if self._is_gzip:
            return zlib.decompressobj(_GZIP_HEADER)
        has_none = self.TAKES_NO_HEADER and first & 0xF != _DEFLATED
        return zlib.decompressobj(_NO_HEADER if has_none else _ZLIB_HEADER)

    def _inflate(self, member: zlib._Decompress, data: bytes) -> tuple[bytes, bytes]:
        """At most a piece, and what is still to be looked at."""
        try:
            piece = member.decompress(data, PIECE)
        except zlib.error:
            if self._members == 1 or self._has_output:
                raise self.broken() from None
            self.is_over = True  # what follows the last member is none
            return b"", b""
        self._has_output = self._has_output or bool(piece)
        if not member.eof:
            return piece, member.unconsumed_tail
        self._member = None
        self.is_over = not self._is_gzip
        return piece, member.unused_data
