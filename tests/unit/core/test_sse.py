"""The event-stream standard, by its own cases; then the two bounds that are ours."""

import tracemalloc
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import UpstreamFrameTooLong
from oaicompat_proxy.core.sse import DONE, LINE_SIZE, PEEK_BYTES, Frame, FrameReader, Kept, encode

MEGABYTE = 1024 * 1024

# WHATWG HTML, "Interpreting an event stream": the input, then [event, data, last event id] of each event
VECTORS: list[tuple[str, list[tuple[str, str, str]]]] = [
    ("data: a\n\n", [("message", "a", "")]),
    ("data:a\n\n", [("message", "a", "")]),
    ("data:  a\n\n", [("message", " a", "")]),
    ("data:\ta\n\n", [("message", "\ta", "")]),
    ("data\n\n", [("message", "", "")]),
    ("data:\n\n", [("message", "", "")]),
    ("data\ndata\n\n", [("message", "\n", "")]),
    ("data: a\ndata: b\n\n", [("message", "a\nb", "")]),
    ("data: a\r\n\r\n", [("message", "a", "")]),
    ("data: a\r\r", [("message", "a", "")]),
    ("data: a\r\n\rdata: b\n\r\n", [("message", "a", ""), ("message", "b", "")]),
    ("data: a\n", []),
    ("data: a", []),
    ("\n\n\n", []),
    (": hello\n\n", []),
    (":\n\ndata: a\n: x\ndata: b\n\n", [("message", "a\nb", "")]),
    ("event: e\ndata: a\n\n", [("e", "a", "")]),
    ("event: e\nevent: f\ndata: a\n\n", [("f", "a", "")]),
    ("event: e\n\ndata: a\n\n", [("message", "a", "")]),
    ("event:\ndata: a\n\n", [("message", "a", "")]),
    ("id: 1\ndata: a\n\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
    ("id: 1\ndata: a\n\nid\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "")]),
    ("id: 1\n\ndata: a\n\n", [("message", "a", "1")]),
    ("id: 1\x00\ndata: a\n\n", [("message", "a", "")]),
    ("retry: 100\n\nretry: x\n\ndata: a\n\n", [("message", "a", "")]),
    ("DATA: a\n\ndata : a\n\n data: a\n\n", []),
    ("data: a:b: c\n\n", [("message", "a:b: c", "")]),
    ("\ufeffdata: a\n\n", [("message", "a", "")]),
    ("\ufeff\ufeffdata: a\n\ndata: b\n\n", [("message", "b", "")]),
    ("data: a\u2028b\u0085c\u000bd\n\n", [("message", "a\u2028b\u0085c\u000bd", "")]),
    ("data: \U0001f600\n\n", [("message", "\U0001f600", "")]),
    # not the standard's: a decoder that takes CR LF for two ends sees two events here
    ("data: a\r\ndata: b\r\n\r\n", [("message", "a\nb", "")]),
    ("data: a\rdata: b\r\ndata: c\n\r", [("message", "a\nb\nc", "")]),
]
ALL_VECTORS = "\n\n".join(text for text, _ in VECTORS if not text.startswith("\ufeff")).encode()


def read(reads: Iterable[bytes], **options: object) -> list[Frame]:
    reader = FrameReader(**{"max_frame": MEGABYTE, **options})  # type: ignore[arg-type]
    return [frame for data in reads for frame in reader.feed(data)]


def one_by_one(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


def plain(frames: Iterable[Frame]) -> list[tuple[str, str, str]]:
    return [
        (frame.event.decode(), frame.data.decode("utf-8", "replace"), frame.last_event_id.decode()) for frame in frames
    ]


@pytest.mark.parametrize(("text", "expected"), VECTORS)
class TestVectors:
    def test_whole(self, text: str, expected: list[tuple[str, str, str]]) -> None:
        assert plain(read([text.encode()])) == expected

    def test_byte_by_byte(self, text: str, expected: list[tuple[str, str, str]]) -> None:
        assert plain(read(one_by_one(text.encode()))) == expected

    def test_cut_once_anywhere_with_an_empty_read_between(
        self, text: str, expected: list[tuple[str, str, str]]
    ) -> None:
        data = text.encode()
        for place in range(len(data) + 1):
            assert plain(read([data[:place], b"", data[place:]])) == expected, place

    def test_followed_by_another_event(self, text: str, expected: list[tuple[str, str, str]]) -> None:
        last_id = expected[-1][2] if expected else ""
        frames = plain(read([text.encode() + b"\n\nevent: z\ndata: last\n\n"]))
        unfinished = [("message", "a", "")] if text in ("data: a\n", "data: a") else []
        assert frames == [*expected, *unfinished, ("z", "last", last_id)]


EXPECTED_TOGETHER = [
    event
    for text, events in VECTORS
    if not text.startswith("\ufeff")
    for event in (events or [("message", "a", "")] * (text in ("data: a\n", "data: a")))
]


@given(st.lists(st.integers(0, len(ALL_VECTORS)), max_size=30))
def test_cuts_anywhere_in_all_of_them_change_nothing(places: list[int]) -> None:
    """The id stays for later events, so only event and data are compared."""
    frames = plain(read(cut(ALL_VECTORS, places)))
    assert [frame[:2] for frame in frames] == [event[:2] for event in EXPECTED_TOGETHER]


def test_what_is_no_utf8_becomes_a_replacement_and_stops_nothing() -> None:
    [frame] = read([bytes.fromhex("64 61 74 61 3A 20 61 FF 62 0A 0A")])
    assert frame.data == b"a\xffb"
    assert frame.data.decode("utf-8", "replace") == "a\ufffdb"


def test_a_lone_cr_ends_an_event_without_waiting_for_the_next_byte() -> None:
    reader = FrameReader(max_frame=MEGABYTE)
    assert [frame.data for frame in reader.feed(b"data: a\r\r")] == [b"a"]
    assert [frame.data for frame in reader.feed(b"\ndata: b\r\r")] == [b"b"]


@pytest.mark.parametrize("start", [b"\xef", b"\xef\xbb", b"\xef\xbb\xbe"])
def test_the_beginning_of_a_byte_order_mark_is_not_dropped(start: bytes) -> None:
    assert read(one_by_one(start + b"data: a\n\ndata: b\n\n")) == read([b"data: b\n\n"])


def test_a_byte_order_mark_later_on_is_text() -> None:
    assert [frame.data.decode() for frame in read(["data: \ufeffa\n\n".encode()])] == ["\ufeffa"]


@pytest.mark.parametrize("text", ["data: a", "data: a\n", "data: a\r", "data: a\r\n", "data: b\n\nid: 1\ndata: a"])
def test_an_event_without_its_empty_line_is_dispatched_at_the_end(text: str) -> None:
    for reads in ([text.encode()], one_by_one(text.encode())):
        reader = FrameReader(max_frame=MEGABYTE)
        frames = [frame for data in reads for frame in reader.feed(data)]
        assert b"a" not in [frame.data for frame in frames]
        assert [frame.data for frame in reader.end()] == [b"a"]


@pytest.mark.parametrize("text", ["", "data: a\n\n", ": a", "event: a\n", "id: 1\n", "\ufeff"])
def test_without_an_unfinished_event_the_end_dispatches_nothing(text: str) -> None:
    reader = FrameReader(max_frame=MEGABYTE)
    list(reader.feed(text.encode()))
    assert list(reader.end()) == []


def test_at_the_end_a_truncated_event_may_have_been_cut() -> None:
    reader = FrameReader(max_frame=MEGABYTE, frame_filter=lambda _: Kept(None, 10))
    assert list(reader.feed(b"data: " + b"x" * 1000)) == []
    assert [(frame.data, frame.truncated) for frame in reader.end()] == [(b"x" * 10, True)]


def test_encoding_gives_one_line_and_its_empty_line() -> None:
    assert encode(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert read([encode(b" a"), DONE]) == [Frame(b" a"), Frame(b"[DONE]")]


# What nobody needs


def filter_by_first_byte(head: bytes) -> Kept | None:
    """K: keep all, L: keep the first ten bytes, anything else: throw away."""
    return {b"K": Kept("kept"), b"L": Kept("limited", 10)}.get(head[:1])


@pytest.mark.parametrize("size", [5, PEEK_BYTES - 1, PEEK_BYTES, PEEK_BYTES + 1, 5000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_a_filter_drops_frames(size: int, line_end: bytes) -> None:
    skipped, kept = b"data: X" + b"x" * size, b"data: K" + b"k" * size
    data = line_end.join([skipped, b"", kept, b"", skipped, b"data: K", b"", b""])
    for reads in ([data], one_by_one(data), cut(data, [PEEK_BYTES, PEEK_BYTES + 6, PEEK_BYTES + 7])):
        assert read(reads, frame_filter=filter_by_first_byte) == [Frame(b"K" + b"k" * size, "kept")]


@pytest.mark.parametrize("space", [b" ", b""])
@pytest.mark.parametrize("size", range(7, 14))
def test_a_limited_frame_says_whether_something_is_missing(size: int, space: bytes) -> None:
    payload = b"L" + b"x" * (size - 1)
    data = b"data:" + space + payload + b"\n\n"
    for reads in ([data], one_by_one(data)):
        assert read(reads, frame_filter=filter_by_first_byte) == [Frame(payload[:10], "limited", truncated=size > 10)]


@pytest.mark.parametrize("size", [PEEK_BYTES, 1000, 20_000])
def test_a_limited_frame_is_cut_the_same_wherever_the_reads_end(size: int) -> None:
    data = b"data: L" + b"x" * size + b"\n\ndata: Kend\n\n"
    expected = [Frame(b"L" + b"x" * 9, "limited", truncated=True), Frame(b"Kend", "kept")]
    for reads in ([data], one_by_one(data), cut(data, range(0, len(data), 100))):
        assert read(reads, frame_filter=filter_by_first_byte) == expected


def test_a_limited_frame_of_two_lines_is_truncated() -> None:
    assert read([b"data: L\ndata: x\n\n"], frame_filter=filter_by_first_byte) == [
        Frame(b"L", "limited", truncated=True)
    ]


def test_the_filter_sees_only_the_first_bytes_and_only_once() -> None:
    seen: list[bytes] = []

    def frame_filter(head: bytes) -> None:
        seen.append(head)

    data = b"data: " + b"x" * 1000 + b"\ndata: second line\n\ndata: short\n\n"
    for reads in ([data], one_by_one(data)):
        seen.clear()
        read(reads, frame_filter=frame_filter)
        assert [len(head) for head in seen] == [min(len(seen[0]), PEEK_BYTES), 5]
        assert len(seen[0]) >= PEEK_BYTES - len("data: ")


def test_a_frame_may_change_the_filter_for_the_next_frame_of_a_read() -> None:
    wanted = {b"1"}
    reader = FrameReader(max_frame=MEGABYTE, frame_filter=lambda head: Kept(None) if head in wanted else None)
    got = []
    for frame in reader.feed(b"data: 1\n\ndata: 2\n\ndata: 3\n\n"):
        got.append(frame.data)
        wanted.add(b"2")
    assert got == [b"1", b"2"]


# What is too long


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 1000, b"event: " + b"x" * 1000, b"y" * 1007])
def test_a_line_longer_than_the_bound_is_refused_while_it_arrives(stream: bytes) -> None:
    assert read([stream], max_frame=2000) == []
    with pytest.raises(UpstreamFrameTooLong, match="a line of more than 1000 bytes"):
        read(one_by_one(stream), max_frame=1000)


def test_an_event_of_many_lines_is_bounded_too() -> None:
    with pytest.raises(UpstreamFrameTooLong, match="an event of more than 1000 bytes"):
        read([b"data: 123456789\n"] * 101, max_frame=1000)


def test_lines_without_text_are_bounded_too() -> None:
    """Each takes memory and time."""
    reader = FrameReader(max_frame=MEGABYTE)
    assert list(reader.feed(b"data\n" * (MEGABYTE // (LINE_SIZE + 1)))) == []
    with pytest.raises(UpstreamFrameTooLong):
        list(reader.feed(b"data\n" * 10))


def test_frames_before_one_that_is_too_long_are_not_lost() -> None:
    reader = FrameReader(max_frame=1000)
    frames = reader.feed(b"data: a\n\ndata: " + b"x" * 1001 + b"\n\n")
    assert next(frames).data == b"a"
    with pytest.raises(UpstreamFrameTooLong):
        next(frames)


def test_the_fault_is_the_agents_and_sending_again_is_not_safe() -> None:
    error = UpstreamFrameTooLong("")
    assert (error.status, error.code, error.should_retry) == (502, "upstream_frame_too_long", False)


@pytest.mark.parametrize("prefix", [b": ", b"data: X", b"data: L"])
def test_ten_megabytes_that_nobody_needs_are_never_held(prefix: bytes) -> None:
    reader = FrameReader(max_frame=64 * 1024, frame_filter=filter_by_first_byte)
    piece = b"x" * 16 * 1024
    tracemalloc.start()
    try:
        list(reader.feed(prefix))
        for _ in range(10 * MEGABYTE // len(piece)):
            list(reader.feed(piece))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 128 * 1024
    assert [frame.data for frame in reader.feed(b"\n\ndata: K\n\n")][-1:] == [b"K"]


def test_a_long_line_is_joined_once_and_not_once_a_read() -> None:
    """Quadratic work would allocate the growing line again at every read: some gigabytes in all."""
    piece, count = b"x" * 4096, 10 * MEGABYTE // 4096
    reader = FrameReader(max_frame=11 * MEGABYTE)
    allocated = 0
    list(reader.feed(b"data: "))
    tracemalloc.start()
    try:
        for _ in range(count):
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            list(reader.feed(piece))
            _, peak = tracemalloc.get_traced_memory()
            allocated += peak - before
    finally:
        tracemalloc.stop()
    [frame] = reader.feed(b"\n\n")
    assert len(frame.data) == count * len(piece)
    assert allocated < 5 * count * len(piece)


def test_a_beginning_suffices_only_if_it_says_so() -> None:
    """Otherwise the event is kept in full: if it is longer, and if it goes on in another line."""
    keep = Kept("kept", 4, lambda head: head.startswith(b"yes"))
    for cut in (1, 1000):
        reader = FrameReader(max_frame=MEGABYTE, frame_filter=lambda head: keep)
        stream = b"data: yes, and so on\n\ndata: no, it does not\n\ndata: yes\ndata: more\n\ndata: yes\n\n"
        frames = [frame for at in range(0, len(stream), cut) for frame in reader.feed(stream[at : at + cut])]
        assert [(frame.data, frame.truncated) for frame in frames] == [
            (b"yes,", True),
            (b"no, it does not", False),
            (b"yes\nmore", False),
            (b"yes", False),
        ]
