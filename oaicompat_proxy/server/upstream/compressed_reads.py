"""The reads of a compressed event stream, decompressed piece by piece while other requests are served."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from .decompression import Inflater


class CompressedReads:
    """Decompresses one read after the other. `add` a read when `next_piece` has returned None."""

    def __init__(self, encoding: str) -> None:
        """Raises UpstreamError for an unknown encoding."""
        self._inflater = Inflater(encoding)
        # state
        self._pieces: Iterator[bytes] = iter(())
        self._resumed = asyncio.Event()
        self._resumed.set()

    def add(self, data: bytes) -> None:
        self._pieces = self._inflater.feed(data)

    async def next_piece(self) -> bytes | None:
        """The next piece of the read, in a later turn of the loop and not during a pause; None after the last.

        A read may expand to gigabytes, so the pause of the socket alone would not stop it. Raises UpstreamError.
        """
        await self._resumed.wait()
        piece = next(self._pieces, None)
        if piece is not None:
            await asyncio.sleep(0)
        return piece

    def pause(self) -> None:
        self._resumed.clear()

    def resume(self) -> None:
        self._resumed.set()

    def stop(self) -> None:
        """Drops the rest of the read, and ends a pause."""
        self._pieces = iter(())
        self._resumed.set()
