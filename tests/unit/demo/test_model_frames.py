"""The engine's estimates, checked with real figures."""

from typing import Any

import pytest

from oaicompat_proxy.demo.model_frames import estimate_tokens, word_count


@pytest.mark.parametrize(
    ("block", "real"),
    [
        ({"type": "text", "text": "[[scenario:text]]"}, 9),
        ({"type": "text", "text": "[[scenario:error_midstream]]"}, 11),
        ({"type": "tool_result", "content": [{"type": "text", "text": "42"}]}, 5),
    ],
)
def test_tokens(block: dict[str, Any], real: int) -> None:
    """A message costs four more; so 13, 15 and 9 in the recordings."""
    assert estimate_tokens(block) == real


def test_words_of_a_message() -> None:
    blocks = [{"type": "text", "text": "one two"}, {"type": "image", "source": {}}]
    assert word_count({"role": "user", "content": blocks}) == 2
