import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.translation.text_channel import SurrogateJoiner, TextChannel

FIRST, SECOND = "\ud83c", "\udf0a"
WAVE = "\U0001f30a"

PIECES = [
    (["plain"], "plain"),
    (["", "grüß", "", WAVE], "grüß" + WAVE),
    ([FIRST, SECOND], WAVE),
    (["a" + FIRST, SECOND + "b"], f"a{WAVE}b"),
    ([FIRST, "", SECOND], WAVE),
    ([FIRST + SECOND], WAVE),
    ([FIRST, "b"], "\ufffdb"),
    ([SECOND, "b"], "\ufffdb"),
    ([FIRST, FIRST, SECOND], "\ufffd" + WAVE),
    ([FIRST, SECOND, SECOND], WAVE + "\ufffd"),
    ([FIRST], "\ufffd"),
    ([SECOND, FIRST], "\ufffd\ufffd"),
]


@pytest.mark.parametrize(("pieces", "expected"), PIECES)
def test_halves_of_a_character_are_joined_or_replaced(pieces: list[str], expected: str) -> None:
    joiner = SurrogateJoiner()
    assert "".join(map(joiner.feed, pieces)) + joiner.flush() == expected
    assert joiner.flush() == ""


def test_only_a_first_half_waits() -> None:
    joiner = SurrogateJoiner()
    assert [joiner.feed("a" + FIRST), joiner.feed(SECOND)] == ["a", WAVE]


@given(st.lists(st.text(st.characters(categories=["L", "Cs", "So"]), max_size=4)))
def test_pieces_or_the_whole_are_the_same_text(pieces: list[str]) -> None:
    def joined(texts: list[str]) -> str:
        joiner = SurrogateJoiner()
        return "".join(map(joiner.feed, texts)) + joiner.flush()

    assert joined(pieces) == joined(["".join(pieces)])
    joined(pieces).encode()


# The input of a channel, step by step, and its output

SPOKEN = [
    ("one tick", ["a", "b"], ["a", "b"]),
    ("two ticks", ["a", None, "b", "c"], ["a", "", "--b", "c"]),
    ("a silent tick between", ["a", None, None, "b"], ["a", "", "", "--b"]),
    ("a silent tick before", [None, "a"], ["", "a"]),
    ("empty pieces say nothing", ["", "a", None, "", "b"], ["", "a", "", "", "--b"]),
    ("a half that waits", ["a" + FIRST, None, SECOND], ["a", "\ufffd", "--\ufffd"]),
    ("only a half", [FIRST, None, "b"], ["", "\ufffd", "--b"]),
]


@pytest.mark.parametrize(("texts", "sent"), [row[1:] for row in SPOKEN], ids=[row[0] for row in SPOKEN])
def test_a_separator_stands_between_ticks_that_speak(texts: list[str | None], sent: list[str]) -> None:
    channel = TextChannel("--")
    assert [channel.end_tick() if piece is None else channel.append(piece) for piece in texts] == sent


def test_it_knows_what_was_said() -> None:
    channel = TextChannel("--")
    assert not channel.has_text
    channel.append("")
    assert not channel.has_text
    channel.append("a")
    assert (channel.has_text, channel.has_text_in_tick) == (True, True)
    channel.end_tick()
    assert (channel.has_text, channel.has_text_in_tick) == (True, False)


def test_a_half_that_waits_counts_as_said() -> None:
    """Else the copy of the message would say it again."""
    channel = TextChannel("--")
    channel.append(FIRST)
    assert (channel.has_text, channel.has_text_in_tick) == (True, True)


def test_an_interjection_is_a_paragraph_of_its_own_and_not_the_agents() -> None:
    channel = TextChannel("--")
    assert channel.insert_paragraph("[x]") == "[x]"
    assert not channel.has_text
    assert channel.append("a") == "--a"
    assert channel.insert_paragraph("[y]") == "--[y]"
    assert channel.end_tick() == ""
    assert not channel.has_text_in_tick
    assert channel.append("b") == "--b"


def test_an_interjection_does_not_swallow_a_half_that_waits() -> None:
    channel = TextChannel("--")
    channel.append("a" + FIRST)
    assert channel.insert_paragraph("[x]") == "\ufffd--[x]"


def test_without_a_separator_texts_touch() -> None:
    channel = TextChannel("")
    assert [channel.append("a"), channel.end_tick(), channel.append("b")] == ["a", "", "b"]
