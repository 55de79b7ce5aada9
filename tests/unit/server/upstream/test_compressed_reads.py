from __future__ import annotations

import asyncio
import gzip

import pytest

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.server.upstream.compressed_reads import CompressedReads
from oaicompat_proxy.server.upstream.decompression import PIECE
from tests.support.raw_gateway import turns


async def pieces_of(reads: CompressedReads) -> list[bytes]:
    pieces = []
    while (piece := await reads.next_piece()) is not None:
        pieces.append(piece)
    return pieces


async def test_each_read_is_decompressed_after_the_other() -> None:
    packed, reads = gzip.compress(b"Ahoy."), CompressedReads("gzip")
    assert await pieces_of(reads) == []
    for half in (packed[:12], packed[12:]):
        reads.add(half)
        await pieces_of(reads)
    reads = CompressedReads("gzip")
    reads.add(packed)
    assert await pieces_of(reads) == [b"Ahoy."]


async def test_a_pause_stops_it_in_the_middle_of_a_read() -> None:
    reads = CompressedReads("gzip")
    reads.add(gzip.compress(bytes(3 * PIECE)))
    assert await reads.next_piece() == bytes(PIECE)
    reads.pause()
    rest = asyncio.create_task(pieces_of(reads))
    await turns()
    assert not rest.done()
    reads.resume()
    assert await rest == [bytes(PIECE)] * 2


async def test_a_stop_drops_the_rest_of_the_read() -> None:
    reads = CompressedReads("gzip")
    reads.add(gzip.compress(bytes(3 * PIECE)))
    assert await reads.next_piece() == bytes(PIECE)
    reads.pause()
    reads.stop()
    assert await pieces_of(reads) == []


async def test_another_compression_is_refused() -> None:
    with pytest.raises(UpstreamError, match="unasked"):
        CompressedReads("br")
