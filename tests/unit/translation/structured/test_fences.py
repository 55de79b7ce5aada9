"""A fence around a text goes, however the text is cut; everything else stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.translation.structured.fences import MAX_HELD, FenceStripper

JSON = '{"a": "```", "b": [1]}'


def stripped(pieces: list[str]) -> str:
    fences = FenceStripper()
    return "".join(map(fences.feed, pieces)) + fences.flush()


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f"```json\n{JSON}\n```", JSON),
        (f"```\r\n{JSON}\r\n```\n", JSON),
        (f"\n ```json5 \n{JSON}```  \n", JSON),
        (f"```json\n{JSON}", JSON),
        (f"```json\n{JSON}\n", f"{JSON}\n"),
        (f"```json\n{JSON}\n``", f"{JSON}\n``"),
        (f"```json\n{JSON}\n```\nThat is all.", f"{JSON}\n```\nThat is all."),
        ("```json\n```", ""),
        (JSON, JSON),
        (f"{JSON}\n```", f"{JSON}\n```"),
        (f"Here:\n```json\n{JSON}\n```", f"Here:\n```json\n{JSON}\n```"),
        (f"```json {JSON}\n```", f"```json {JSON}\n```"),
        ("``", "``"),
        ("```js", "```js"),
        ("  ", "  "),
        ("", ""),
    ],
)
def test_a_fence_goes_and_the_rest_stays(text: str, rest: str) -> None:
    assert stripped([text]) == rest
    assert stripped(list(text)) == rest


@given(st.lists(st.text("`js {}\n", max_size=6), max_size=12))
def test_it_does_not_matter_how_the_text_is_cut(pieces: list[str]) -> None:
    assert stripped(pieces) == stripped(list("".join(pieces)))


@given(st.text().filter(lambda text: "```" not in text))
def test_a_text_without_fences_is_as_it_was(text: str) -> None:
    assert stripped(list(text)) == text


def test_little_is_held_back() -> None:
    fences = FenceStripper()
    fences.feed("```json\n")
    sent = sum(len(fences.feed("\n" * 50)) for _ in range(100))
    assert 0 <= 5000 - sent <= MAX_HELD
    undecided = FenceStripper()
    assert len("".join(undecided.feed(" " * 50) for _ in range(100))) >= 5000 - MAX_HELD
