from __future__ import annotations

import contextlib
import gzip
import math
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.server.upstream.decompression import PIECE, SLICE, UNLIMITED_SIZE, Inflater
from tests.support.examples import examples


def deflated(data: bytes) -> bytes:
    return zlib.compress(data)


def flushed(pieces: Iterable[bytes], bits: int) -> list[bytes]:
    """Each piece sent on its own, as a box that compresses a stream does."""
    compressor = zlib.compressobj(wbits=bits)
    return [compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH) for piece in pieces] + [compressor.flush()]


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": deflated}
TEXT = b"".join(b"data: event %d\n\n" % number for number in range(200))


def inflated(encoding: str, reads: Iterable[bytes]) -> bytes:
    inflater = Inflater(encoding)
    return b"".join(piece for data in reads for piece in inflater.feed(data))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_stream_is_read_however_it_is_cut(encoding: str) -> None:
    packed = ENCODINGS[encoding](TEXT)
    assert inflated(encoding, [packed]) == TEXT
    assert inflated(encoding, [packed[at : at + 1] for at in range(len(packed))]) == TEXT
    assert all(inflated(encoding, [packed[:at], packed[at:]]) == TEXT for at in range(len(packed)))


@examples(100)
@given(st.lists(st.binary(max_size=400), max_size=6), st.lists(st.integers(1, 60), max_size=8))
def test_any_stream_in_any_cuts(pieces: list[bytes], sizes: list[int]) -> None:
    packed = b"".join(flushed(pieces, 31))
    reads = []
    for size in sizes:
        reads.append(packed[:size])
        packed = packed[size:]
    assert inflated("gzip", [*reads, packed]) == b"".join(pieces)


@pytest.mark.parametrize(("encoding", "bits"), [("gzip", 31), ("deflate", 15)])
def test_what_was_flushed_comes_out_at_once(encoding: str, bits: int) -> None:
    """An event does not wait for the next."""
    pieces = [b"data: %d\n\n" % number for number in range(50)]
    inflater = Inflater(encoding)
    for packed, piece in zip(flushed(pieces, bits), pieces, strict=False):
        assert b"".join(inflater.feed(packed)) == piece


@pytest.mark.parametrize("length", [PIECE - 1, PIECE, PIECE + 1, PIECE + 258, 2 * PIECE, 3 * PIECE + 7])
def test_nothing_is_held_back_where_a_piece_is_full(length: int) -> None:
    """Checked at the end of a flush and at the end of the stream."""
    noise = random.Random(length).randbytes(100)
    for data in (b"x" * length, (noise * (length // 100 + 1))[:length]):
        inflater = Inflater("gzip")
        for packed, piece in zip(flushed([data, b"!"], 31), [data, b"!", b""], strict=True):
            assert b"".join(inflater.feed(packed)) == piece


class UnlimitedInflater(Inflater):
    MAX_RATIO = math.inf


@pytest.mark.slow
def test_a_bomb_goes_off_piece_by_piece() -> None:
    """A hundred megabytes in a read of a hundred kilobytes: never more of it at a time than a piece."""
    packed = gzip.compress(bytes(100_000_000), 9)
    assert len(packed) < 120_000
    inflater = UnlimitedInflater("gzip")
    total = 0
    tracemalloc.start()
    try:
        for piece in inflater.feed(packed):
            assert len(piece) <= PIECE
            total += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 100_000_000
    assert peak < 8 * PIECE


@pytest.mark.slow
def test_a_stream_that_expands_too_much_is_the_gateways_fault() -> None:
    packed = gzip.compress(bytes(2 * UNLIMITED_SIZE), 9)
    sizes: list[int] = []
    with pytest.raises(UpstreamError, match="expand to more than 200 times"):
        sizes.extend(map(len, Inflater("gzip").feed(packed)))
    assert UNLIMITED_SIZE - PIECE < sum(sizes) <= UNLIMITED_SIZE


@pytest.mark.slow
def test_a_long_stream_that_expands_as_events_do_is_read() -> None:
    """Frames of single characters, which differ in their number."""
    inflater = Inflater("gzip")
    sent = b"".join(b'data: {"event":"content_delta","sequence":%d,"delta":"a"}\n\n' % each for each in range(700_000))
    assert len(sent) > UNLIMITED_SIZE
    assert sum(map(len, inflater.feed(gzip.compress(sent)))) == len(sent)


def test_members_without_content_are_read_slice_by_slice() -> None:
    """A read of nothing but them would keep every other request waiting."""
    empty = gzip.compress(b"")
    assert list(Inflater("gzip").feed(empty * (4 * SLICE // len(empty)))) == [b""] * 4


def test_a_bomb_that_nobody_takes_does_not_go_off() -> None:
    pieces = Inflater("gzip").feed(gzip.compress(bytes(10_000_000)))
    assert next(pieces) == bytes(PIECE)


@pytest.mark.parametrize("encoding", ["br", "zstd", "identity", "", "GZIP", "gzip, gzip", "x" * 10_000])
def test_another_compression_is_the_gateways_fault(encoding: str) -> None:
    with pytest.raises(UpstreamError, match="unasked") as caught:
        Inflater(encoding)
    assert len(caught.value.message) < 120


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("garbage", [b"data: plain\n\n", b"\x1f\x8bgarbage", b"\0" * 20, b"{}"])
def test_what_is_not_compressed_is_the_gateways_fault(encoding: str, garbage: bytes) -> None:
    with pytest.raises(UpstreamError, match="cannot be read"):
        inflated(encoding, [garbage, garbage])


def test_what_stands_before_the_damage_comes_out_first() -> None:
    first, *_ = flushed([b"data: a\n\n"], 31)
    inflater = Inflater("gzip")
    assert b"".join(inflater.feed(first)) == b"data: a\n\n"
    with pytest.raises(UpstreamError, match="cannot be read"):
        list(inflater.feed(b"\xff" * 10))


@pytest.mark.parametrize("lost", [1, 4, 8])
def test_a_damaged_checksum_is_reported(lost: int) -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-lost] ^= 0xFF
    with pytest.raises(UpstreamError, match="cannot be read"):
        inflated("gzip", [bytes(packed)])


def test_a_stream_that_breaks_off_gives_what_there_was() -> None:
    """Whether the run was over is for the reader of the run to say."""
    packed = gzip.compress(TEXT)
    for end in range(len(packed)):
        assert TEXT.startswith(inflated("gzip", [packed[:end]]))


def test_an_empty_read_is_nothing() -> None:
    assert inflated("gzip", [b"", gzip.compress(b"a"), b""]) == b"a"


def test_a_second_member_is_read_and_what_is_none_is_dropped() -> None:
    packed = gzip.compress(b"data: a\n\n") + gzip.compress(b"data: b\n\n")
    for rest in (b"", b"\0" * 100, b"data: c\n\n", b"\x1f\x8bno gzip", gzip.compress(b"")):
        assert inflated("gzip", [packed + rest]) == b"data: a\n\ndata: b\n\n"
        cut = [(packed + rest)[at : at + 1] for at in range(len(packed + rest))]
        assert inflated("gzip", cut) == b"data: a\n\ndata: b\n\n"


def test_what_stands_behind_a_stream_without_members_is_dropped() -> None:
    assert inflated("deflate", [zlib.compress(b"a") + b"data: c\n\n", b"more", zlib.compress(b"b")]) == b"a"


@pytest.mark.parametrize("rest", [b"\0", b"x", gzip.compress(b"", mtime=0), gzip.compress(b"a", mtime=0)[:-8]])
def test_what_stands_behind_the_end_costs_its_length_in_time(rest: bytes) -> None:
    """Eight megabytes in reads of 256 KB, of which nothing is kept."""
    read = (rest * (256 * 1024 // len(rest) + 1))[: 256 * 1024]
    inflater = Inflater("gzip")
    assert b"".join(inflater.feed(gzip.compress(b"a"))) == b"a"
    tracemalloc.start()
    start = time.thread_time()
    try:
        for _ in range(32):
            with contextlib.suppress(UpstreamError):
                assert set(b"".join(inflater.feed(read))) <= {ord("a")}
        assert tracemalloc.get_traced_memory()[1] < 4 * PIECE
    finally:
        tracemalloc.stop()
    assert time.thread_time() - start < 8


def test_whether_a_stream_may_end_here() -> None:
    packed = gzip.compress(b"a")
    inflater = Inflater("gzip")
    assert not inflater.is_whole
    for at in range(len(packed)):
        assert not inflater.is_whole
        list(inflater.feed(packed[at : at + 1]))
    assert inflater.is_whole
