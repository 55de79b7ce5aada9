"""Fields of any shape, and what was used."""

from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.core.events import Usage
from oaicompat_proxy.dialects.ag_ui.fields import MAX_SAFE_INTEGER, objects_of, plain_text, text_of, usage_of


@pytest.mark.parametrize("value", [None, 7, [], {}, True])
def test_what_is_no_text_counts_as_absent(value: Any) -> None:
    assert text_of({"delta": value}, "delta") == text_of({}, "delta") == ""


def test_objects_are_picked_from_whatever_is_there() -> None:
    assert objects_of({"messages": [1, {"a": 1}, None]}, "messages") == [{"a": 1}]
    assert objects_of({"messages": {"a": 1}}, "messages") == objects_of({}, "messages") == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("06:12", "06:12"),
        (None, ""),
        ([{"type": "text", "text": "06:12"}, {"type": "image", "source": {}}], "06:12"),
        ({"high": "06:12"}, '{"high": "06:12"}'),
        ([{"type": "text", "text": "06"}, {"type": "hologram"}, {"type": "text", "text": ":12"}], "06:12"),
        ([1, 2], "[1, 2]"),
        ([], ""),
    ],
)
def test_a_result_is_shown_as_a_person_would_read_it(content: Any, text: str) -> None:
    assert plain_text(content) == text


OWL = {"model": "owl", "inputTokens": 80, "outputTokens": 17}


@pytest.mark.parametrize(
    ("entries", "usage"),
    [
        ([OWL], Usage(80, 17, 97)),
        ([{**OWL, "totalTokens": 99, "reasoningTokens": 4, "cachedInputTokens": 0}], Usage(80, 17, 99, 4, 0)),
        ([{**OWL, "cachedInputTokens": 8, "cacheWriteInputTokens": 2}] * 2, Usage(160, 34, 194, None, 16, 4)),
        ([OWL, {"inputTokens": 1, "totalTokens": 2, "reasoningTokens": 1}], Usage(81, 18, 99)),
        ([{**OWL, "reasoningTokens": 4}, {**OWL, "reasoningTokens": 0}], Usage(160, 34, 194, 4)),
        ([{"outputTokens": 3, "totalTokens": 3}], Usage(0, 3, 3)),
        ([{"inputTokens": 3, "totalTokens": 3}], Usage(3, 0, 3)),
        ([{"inputTokens": 0, "outputTokens": 0}], Usage(0, 0, 0)),
        ([{"inputTokens": MAX_SAFE_INTEGER, "outputTokens": 0}] * 2, Usage(MAX_SAFE_INTEGER, 0, MAX_SAFE_INTEGER)),
        ([{**OWL, "outputTokens": 3.0}], Usage(80, 3, 83)),
        ([{"totalTokens": 9}], None),
        ([{"inputTokens": 9}], None),
        ([{"outputTokens": 9}], None),
        ([{"inputTokens": 9, "totalTokens": 3}], None),
        ([OWL, {"model": "wren"}], None),
        ([OWL, {"outputTokens": 3}], None),
        ([{"model": "owl"}], None),
        ([], None),
        (None, None),
        ({"inputTokens": 3}, None),
    ],
)
def test_usage_is_the_sum_over_all_models_and_never_invented(entries: Any, usage: Usage | None) -> None:
    assert usage_of({"usage": entries}) == usage
