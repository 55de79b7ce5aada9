"""A buffer: written once, read by many, each from its beginning, however they take turns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.server.idempotency.broadcast import MAX_READ, BroadcastBuffer, BroadcastReader

PIECES = st.lists(st.binary(min_size=1, max_size=9), max_size=30)


def all_of(reader: BroadcastReader) -> bytes:
    data = b""
    while piece := reader.read():
        data += piece
    return data


def test_a_reader_begins_at_the_beginning_and_goes_on_live() -> None:
    buffer = BroadcastBuffer()
    buffer.write(b"a")
    first = buffer.new_reader()
    assert (first.read(), first.read(), first.at_end) == (b"a", b"", False)
    buffer.write(b"b")
    second = buffer.new_reader()
    buffer.end()
    assert (second.read(), second.at_end) == (b"ab", True)
    assert (first.at_end, first.read(), first.at_end) == (False, b"b", True)


def test_much_is_read_in_several_reads_and_no_piece_is_cut() -> None:
    buffer = BroadcastBuffer()
    pieces = [bytes([number]) * (MAX_READ // 3) for number in range(7)] + [b"x" * (2 * MAX_READ)]
    for piece in pieces:
        buffer.write(piece)
    buffer.end()
    reader = buffer.new_reader()
    assert [reader.read() for _ in range(4)] == [b"".join(pieces[:3]), b"".join(pieces[3:6]), pieces[6], pieces[7]]
    assert reader.at_end


def test_what_is_shed_is_held_only_for_those_who_still_have_to_read_it() -> None:
    buffer = BroadcastBuffer()
    buffer.write(b"abc")
    quick, slow = buffer.new_reader(), buffer.new_reader()
    quick.read()
    buffer.discard_history()
    buffer.write(b"de")
    assert (buffer.buffered, buffer.size) == (5, 5)
    assert quick.read() == b"de"
    assert buffer.buffered == 5
    assert slow.read() == b"abcde"
    assert buffer.buffered == 0


def test_a_shed_tape_that_nobody_reads_holds_nothing() -> None:
    buffer = BroadcastBuffer()
    buffer.write(b"abc")
    reader = buffer.new_reader()
    buffer.discard_history()
    reader.close()
    buffer.write(b"de")
    assert (buffer.buffered, buffer.has_readers, buffer.length) == (0, False, 2)


@given(PIECES, st.lists(st.sampled_from(["write", "join", "shed", "read 0", "read 1", "read 2", "leave 1"])))
def test_every_reader_gets_the_same_bytes_however_they_take_turns(pieces: list[bytes], turns: list[str]) -> None:
    buffer = BroadcastBuffer()
    waiting = list(pieces)
    got: list[tuple[BroadcastReader, list[bytes]]] = []
    left: set[int] = set()
    for turn in turns:
        word, _, number = turn.partition(" ")
        index = int(number or 0)
        if word == "write" and waiting:
            buffer.write(waiting.pop(0))
        elif word == "join" and buffer.is_replayable:
            got.append((buffer.new_reader(), []))
        elif word == "shed":
            buffer.discard_history()
        elif word == "read" and index < len(got) and index not in left:
            got[index][1].append(got[index][0].read())
        elif word == "leave" and index < len(got):
            got[index][0].close()
            left.add(index)
    for piece in waiting:
        buffer.write(piece)
    buffer.end()
    for index, (reader, read) in enumerate(got):
        if index not in left:
            assert b"".join(read) + all_of(reader) == b"".join(pieces)
            assert reader.at_end
            reader.close()
    assert buffer.buffered == (len(b"".join(pieces)) if buffer.is_replayable else 0)
