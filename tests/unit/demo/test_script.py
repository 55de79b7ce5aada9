"""Parts of scripts: pieces, word counts, raw scripts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.demo.script import Raw, Usage, count_words, parse_arguments, raw_script, split_words


@given(st.text())
def test_the_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text


def test_a_piece_is_a_word_and_the_space_behind_it() -> None:
    assert split_words(" one  two\nthree") == (" ", "one  ", "two\n", "three")


def test_count_is_in_words() -> None:
    assert count_words(["one two ", "", "three"]) == 3


def test_usage_adds_up() -> None:
    total = Usage(1, 2) + Usage(10, 20)
    assert total.json() == {"inputTokens": 11, "outputTokens": 22, "totalTokens": 33}


@pytest.mark.parametrize(
    ("pieces", "value"),
    [
        ((), {}),
        (('{"a"', ":1}"), {"a": 1}),
        (("{oops",), {"raw": "{oops"}),
        (("[1]",), {"raw": "[1]"}),
    ],
)
def test_arguments_as_the_accumulator_reads_them(pieces: tuple[str, ...], value: dict[str, object]) -> None:
    assert parse_arguments(pieces) == value


def test_a_recording_is_played_frame_by_frame() -> None:
    assert raw_script(b"data: 1\n\ndata: 2\n\n").steps == (Raw(b"data: 1\n\n"), Raw(b"data: 2\n\n"))


@given(st.binary(min_size=1), st.lists(st.integers(-5, 50)))
def test_cuts_change_nothing(recording: bytes, cuts: list[int]) -> None:
    steps = raw_script(recording, [0, 1, *cuts]).steps
    assert all(isinstance(step, Raw) for step in steps)
    if len(recording) > 1:
        assert b"".join(step.data for step in steps if isinstance(step, Raw)) == recording
