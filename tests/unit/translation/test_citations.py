"""Citations of the agent's blocks of text, placed in the answer's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.answer import Annotations, UrlCitation
from oaicompat_proxy.core.events import Citation
from oaicompat_proxy.translation.buffer_limit import BufferLimit
from oaicompat_proxy.translation.citations import Citations


def cite(start: int | None, end: int | None, url: str = "u", title: str = "t") -> tuple[Citation, ...]:
    return (Citation(url, title, start, end),)


def places(citations: Citations) -> list[tuple[int, int]]:
    return [(each.start, each.end) for chunk in citations.take() for each in annotated(chunk)]


def annotated(chunk: object) -> tuple[UrlCitation, ...]:
    assert isinstance(chunk, Annotations)
    return chunk.citations


def test_without_citations_there_is_nothing_to_say() -> None:
    citations = Citations(BufferLimit())
    citations.advance(len("Hello"), len("Hello"))
    citations.add(())
    assert citations.take() == []


def test_a_citation_counts_from_its_block() -> None:
    citations = Citations(BufferLimit())
    for block in ("First block.", "Second block."):
        citations.start_block()
        citations.advance(len(block), len(block))
        citations.add(cite(0, 5))
    assert places(citations) == [(0, 5), (12, 17)]


def test_a_separator_in_front_of_a_block_is_not_the_agents() -> None:
    citations = Citations(BufferLimit())
    citations.advance(len("One"), len("One"))
    citations.start_block()
    citations.advance(len("\n\nTwo"), len("Two"))
    citations.add(cite(0, 3))
    assert places(citations) == [(5, 8)]


def test_without_a_beginning_a_block_begins_where_the_text_does() -> None:
    citations = Citations(BufferLimit())
    citations.advance(len("One two"), len("One two"))
    citations.add(cite(4, 7))
    assert places(citations) == [(4, 7)]


def test_without_a_place_it_is_the_whole_block() -> None:
    citations = Citations(BufferLimit())
    citations.advance(len("One "), len("One "))
    citations.start_block()
    citations.advance(len("two "), len("two "))
    citations.advance(len("three"), len("three"))
    citations.add(cite(None, None))
    assert places(citations) == [(4, 13)]


@pytest.mark.parametrize(
    ("start", "end", "place"), [(0, 99, (0, 5)), (99, 100, (5, 5)), (4, 2, (4, 4)), (None, 2, (0, 2))]
)
def test_a_place_outside_the_text_is_put_inside(start: int | None, end: int, place: tuple[int, int]) -> None:
    citations = Citations(BufferLimit())
    citations.advance(len("Hello"), len("Hello"))
    citations.add(cite(start, end))
    assert places(citations) == [place]


def test_a_block_that_says_nothing_is_cited_at_the_end() -> None:
    citations = Citations(BufferLimit())
    citations.advance(len("Hello"), len("Hello"))
    citations.start_block()
    citations.add(cite(0, 3))
    assert places(citations) == [(5, 5)]


def test_the_same_twice_is_sent_once_and_the_order_is_kept() -> None:
    citations = Citations(BufferLimit())
    citations.advance(len("Hello"), len("Hello"))
    for url in ("b", "a", "b"):
        citations.add(cite(0, 5, url))
    (chunk,) = citations.take()
    assert [each.url for each in annotated(chunk)] == ["b", "a"]


blocks = st.lists(
    st.tuples(st.text(), st.one_of(st.none(), st.integers(0, 50)), st.one_of(st.none(), st.integers(0, 50)))
)


@given(blocks)
def test_every_place_is_within_the_text(sources: list[tuple[str, int | None, int | None]]) -> None:
    citations = Citations(BufferLimit())
    length = 0
    for text, start, end in sources:
        citations.start_block()
        citations.advance(len(text), len(text))
        length += len(text)
        citations.add(cite(start, end))
    assert all(0 <= start <= end <= length for start, end in places(citations))
