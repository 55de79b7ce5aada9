"""Patterns of a schema are searched in linear time, or refused."""

from __future__ import annotations

import pytest

from oaicompat_proxy.translation.structured.patterns import Pattern, UnsupportedPattern


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a", "bab", True),
        ("^a$", "a", True),
        ("^a$", "a\n", False),
        (r"^\d{4}-\d\d$", "2026-11", True),
        (r"^\u00e9\\u0041$", r"é\u0041", True),
        (r"\/", "a/b", True),
        (r"^\p{L}+$", "Łódź", True),
        ("(?<year>[0-9]+)", "2026", True),
    ],
)
def test_it_searches_as_ecma_does(pattern: str, text: str, found: bool) -> None:
    assert Pattern(pattern).matches(text) is found


@pytest.mark.parametrize("pattern", ["(?=a)", "(?<!a)b", r"(a)\1", "(", "(a{1000}){1000}", "\ud83d"])
def test_what_the_engine_does_not_take_is_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedPattern):
        Pattern(pattern)


def test_a_search_costs_by_the_size_of_pattern_and_text() -> None:
    small, large = Pattern("a+b"), Pattern("(.*a){60}")
    assert small.steps("a") == 1
    assert large.steps("a" * 10_000) > small.steps("a" * 10_000) > 1
