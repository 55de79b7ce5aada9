"""Decompression in bounded pieces, and to a bounded size: a small compressed read may expand to gigabytes.

A gzip stream may have several members, one after the other (RFC 1952, 2.2). Other bytes after the end of a stream are
ignored.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ...core.errors import ProxyError, UpstreamError

PIECE = 32 * 1024
"""Decompressed bytes of one piece, which is read within one turn of the event loop."""

SLICE = 16 * 1024
"""Compressed bytes that are given to zlib at a time: the end of each member copies the rest of the slice."""

UNLIMITED_SIZE = 32 * 1024 * 1024
"""Decompressed bytes below which the ratio does not count: one frame may be a large table of zeros."""

_ZLIB_HEADER = zlib.MAX_WBITS
_GZIP_HEADER = 16 + zlib.MAX_WBITS
_NO_HEADER = -zlib.MAX_WBITS
_DEFLATED = 8
"""The low half of the first byte of a zlib header (RFC 1950, 2.2)."""


class Inflater:
    """Decompresses gzip and deflate. A proxy in front of the gateway may compress events although not requested."""

    ACCEPTS_NO_HEADER = False
    """Whether `deflate` may lack the zlib header, as some clients send it."""
    MAX_RATIO: float = 200
    """Decompressed bytes for each compressed byte, at most; Apache allows as many (`DeflateInflateRatioLimit`). Frames
    that differ only in their number reach 100, and zlib itself 1,030."""

    def __init__(self, encoding: str) -> None:
        """Raises UpstreamError for any other encoding."""
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise self.unknown(encoding)
        self._is_gzip = encoding != "deflate"
        # state
        self._member: zlib._Decompress | None = None
        self._members = 0
        self._has_output = False
        """Whether the current member has produced output."""
        self._received = self._produced = 0
        self.is_over = False
        """Further bytes are not part of the stream."""

    @property
    def is_whole(self) -> bool:
        """Whether the stream may end here."""
        return self.is_over or (self._member is None and self._members > 0)

    def unknown(self, encoding: str) -> ProxyError:
        return UpstreamError(f"The agent gateway's events are compressed with {encoding[:20]}, unasked.")

    def broken(self) -> ProxyError:
        return UpstreamError("The agent gateway's compressed events cannot be read.")

    def too_large(self) -> ProxyError:
        return UpstreamError(
            f"The agent gateway's compressed events expand to more than {self.MAX_RATIO} times their size."
        )

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the decompressed pieces of `data`, at least one for each SLICE: an empty one if it has no output.

        Raises UpstreamError if it is not valid, or expands too much.
        """
        for start in range(0, len(data), SLICE):
            rest = data[start : start + SLICE]
            self._received += len(rest)
            produced = self._produced
            while rest and not self.is_over:
                if self._member is None:
                    self._member = self._begin(rest[0])
                piece, rest = self._inflate(self._member, rest)
                if piece:
                    self._count(len(piece))
                    yield piece
            if self._produced == produced:
                yield b""

    def _count(self, size: int) -> None:
        self._produced += size
        if self._produced > max(UNLIMITED_SIZE, self.MAX_RATIO * self._received):
            raise self.too_large()

    def _begin(self, first: int) -> zlib._Decompress:
        self._members += 1
        self._has_output = False
        if self._is_gzip:
            return zlib.decompressobj(_GZIP_HEADER)
        has_none = self.ACCEPTS_NO_HEADER and first & 0xF != _DEFLATED
        return zlib.decompressobj(_NO_HEADER if has_none else _ZLIB_HEADER)

    def _inflate(self, member: zlib._Decompress, data: bytes) -> tuple[bytes, bytes]:
        """At most one piece, and the rest of `data`."""
        try:
            piece = member.decompress(data, PIECE)
        except zlib.error:
            if self._members == 1 or self._has_output:
                raise self.broken() from None
            self.is_over = True  # these bytes are not another member
            return b"", b""
        self._has_output = self._has_output or bool(piece)
        if not member.eof:
            return piece, member.unconsumed_tail
        self._member = None
        self.is_over = not self._is_gzip
        return piece, member.unused_data
