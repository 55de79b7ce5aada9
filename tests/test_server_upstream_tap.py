from __future__ import annotations

from agent import run, text

from oaicompat_proxy.core.events import TextDelta
from oaicompat_proxy.dialects.agentick.reader import EventReader
from oaicompat_proxy.server.upstream.tap import TappedReader


def test_bytes_are_taken_first_and_read_as_ever() -> None:
    taken: list[bytes] = []
    tapped = TappedReader(EventReader(max_frame=10_000), taken.append)
    assert list(tapped.feed(text("a"))) == [TextDelta("a")]
    assert not tapped.over
    rest = b"".join(run("b"))
    assert list(tapped.feed(rest))
    assert tapped.over
    assert taken == [text("a"), rest]


def test_they_are_taken_even_if_nobody_reads_the_events() -> None:
    taken: list[bytes] = []
    TappedReader(EventReader(max_frame=10_000), taken.append).feed(b"data: no JSON\n\n")
    assert taken == [b"data: no JSON\n\n"]
