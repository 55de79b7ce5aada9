"""Plain patterns are met, all others left alone; none is run."""

from __future__ import annotations

import re
import time

import pytest

from oaicompat_proxy.demo.plain_patterns import matching_string

PLAIN = [
    r"^\d{4}-\d{2}-\d{2}$",
    "^[a-z]+$",
    "^[A-Z]{2,}$",
    r"^\d+$",
    "^#[0-9a-f]{6}$",
    r"^\+\d+$",
    "^.$",
    "e",
    "^[A-Za-z_][A-Za-z0-9_]*$",
    "^[^/]+$",
    r"^[^\s@]+@[^\s@]+\.[a-z]{2,3}$",
    r"^v?\d+\.\d+\.\d+$",
    r"^[\w.-]+$",
    r"^[\d]{3}$",
    "^[A-Z]{3}-[0-9]{4,6}$",
    "^x{0,3}$",
    r"^\$\d+$",
    "",
]


@pytest.mark.parametrize("pattern", PLAIN)
def test_a_plain_pattern_is_met(pattern: str) -> None:
    string = matching_string(pattern, 0)
    assert string is not None
    assert re.search(pattern, string)


@pytest.mark.parametrize(
    ("pattern", "least"), [("^[a-z]+$", 12), ("^[A-Z]{2,8}[0-9]*$", 20), ("^a", 5), (r"^\d{2,4}$", 3)]
)
def test_it_is_as_long_as_it_has_to_be(pattern: str, least: int) -> None:
    string = matching_string(pattern, least)
    assert string is not None
    assert re.search(pattern, string)
    assert len(string) >= least


@pytest.mark.parametrize("pattern", ["(a|b)", "^(?=x)", r"\p{L}", "[", "a**", "x{", r"\1", "^a|b$", "(", "\\"])
def test_any_other_is_left_alone(pattern: str) -> None:
    assert matching_string(pattern, 0) is None


@pytest.mark.parametrize(
    "pattern", ["a" * 100_000, "[" + "a" * 100_000, "a{999999}" * 150, "[a-" * 30_000, "\\" * 99_999]
)
def test_it_comes_to_an_end(pattern: str) -> None:
    began = time.process_time()
    matching_string(pattern, 10_000)
    assert time.process_time() - began < 0.5
