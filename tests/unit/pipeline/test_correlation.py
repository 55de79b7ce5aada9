"""Which frame became which event of the client, and which were skipped."""

from __future__ import annotations

from oaicompat_proxy.api.registry import APIS
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.pipeline.correlation import Blocks, Correlator
from tests.support.scripted_gateway import OPENING, closing, failure, frame, run, text

CHAT = APIS["chat"]


def chunks(count: int) -> bytes:
    return b'data: {"object":"chat.completion.chunk"}\n\n' * count


def correlated(*entries: tuple[str, bytes], stream: bool = True) -> Correlator:
    """Each entry one millisecond after the one before."""
    correlator = Correlator(CHAT, AnswerOptions(stream=stream))
    for ms, (kind, data) in enumerate(entries):
        getattr(correlator, kind)(float(ms), data)
    correlator.end(float(len(entries)))
    return correlator


def test_each_event_belongs_to_the_frame_that_made_it() -> None:
    opening, first, second = b"".join(OPENING), text("Hel"), text("lo")
    found = correlated(("native", opening + first), ("client", chunks(2)), ("native", second), ("client", chunks(1)))
    assert [event.frame for event in found.events] == [3, 3, 4]
    assert [event.ms for event in found.events] == [1.0, 1.0, 3.0]
    assert [each.use for each in found.frames] == ["read", "read", "skipped", "sent", "sent"]


def test_frames_of_one_read_share_its_write() -> None:
    found = correlated(("native", b"".join(run("a", "b"))), ("client", chunks(6)))
    assert [event.frame for event in found.events][:3] == [3, 3, 4]
    ending = next(each.number for each in found.frames if each.use == "late") - 1
    assert found.events[-1].frame == ending, "the end of the answer belongs to the frame that ended it"


def test_a_skipped_frame_has_its_size() -> None:
    big = frame("compiled", prompt="x" * 100_000)
    found = correlated(("native", b"".join([*OPENING, big, text("Hi")])))
    skipped = found.frames[3]
    assert (skipped.use, skipped.size, len(skipped.head)) == ("skipped", len(big), 4096)


def test_frames_may_be_cut_anywhere() -> None:
    whole = b"".join(run("Hello", " you"))
    pieces = [("native", whole[place : place + 7]) for place in range(0, len(whole), 7)]
    sizes = [each.size for each in correlated(("native", whole)).frames]
    assert [each.size for each in correlated(*pieces).frames] == sizes


def test_the_proxys_own_first_chunk_belongs_to_no_frame() -> None:
    found = correlated(("client", chunks(1)), ("native", b"".join(OPENING) + text("Hi")), ("client", chunks(1)))
    assert [event.frame for event in found.events] == [None, 3]


def test_frames_behind_the_end_are_late() -> None:
    found = correlated(("native", b"".join(run("Hi"))))
    assert [each.use for each in found.frames[-2:]] == ["sent", "late"]


def test_a_whole_answer_is_one_event_of_the_same_frames() -> None:
    found = correlated(("native", b"".join(run("Hi"))), ("body", b"{}"), stream=False)
    ending = next(each.number for each in found.frames if each.use == "late") - 1
    assert [event.frame for event in found.events] == [ending]
    assert found.frames[3].use == "sent"


def test_an_error_belongs_to_the_frame_that_said_so() -> None:
    broken, behind = failure("It broke"), frame("error", message="It broke")
    found = correlated(("native", b"".join([*OPENING, text("Hi"), broken, behind])), ("client", chunks(4)))
    assert [event.frame for event in found.events] == [3, 3, 4, 4]
    assert found.frames[-1].use == "late"


def test_a_frame_that_is_no_json_ends_the_answer() -> None:
    found = correlated(("native", b"".join(OPENING) + b"data: {nonsense\n\n" + b"".join(closing())))
    assert {each.use for each in found.frames[4:]} == {"late"}


def test_a_rest_without_its_empty_line_is_shown() -> None:
    found = correlated(("native", b"".join(OPENING) + b"data: {"))
    assert found.frames[-1].head == b"data: {"


def test_blocks_end_at_every_kind_of_empty_line() -> None:
    blocks = Blocks()
    assert list(blocks.feed(b"a\n\nb\r\n\r\nc\r\rd")) == [b"a\n\n", b"b\r\n\r\n", b"c\r\r"]
    assert blocks.flush() == b"d"
    assert list(blocks.feed(b"e\r\n")) == []
    assert list(blocks.feed(b"\r\nf")) == [b"e\r\n\r\n"]
