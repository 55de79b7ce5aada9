"""How errors quote what the client sent; test_validation has the wording of each kind of error."""

import pytest

from oaicompat_proxy.api.openai.invalid_requests import clip, listed


@pytest.mark.parametrize(
    ("words", "text"), [(["a"], "'a'"), (["a", "b"], "'a' and 'b'"), (["a", "b", "c"], "'a', 'b', and 'c'")]
)
def test_lists_of_words(words, text):
    assert listed(words, "and") == text


@pytest.mark.parametrize(("length", "clipped"), [(64, "x" * 64), (65, "x" * 63 + "…")])
def test_clip_keeps_64_characters(length, clipped):
    assert clip("x" * length) == clipped
