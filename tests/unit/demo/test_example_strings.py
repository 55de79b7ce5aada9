"""Strings of the length, the format and, where it is a plain one, the pattern that is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from oaicompat_proxy.demo.example_strings import BY_FORMAT, example_string


@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from(["city", "whatever", "URL", ""]))
def test_both_lengths_hold(least: int, more: int, name: str) -> None:
    schema = {"type": "string", "minLength": least, "maxLength": least + more}
    Draft202012Validator(schema).validate(example_string(schema, name))


@pytest.mark.parametrize("form", BY_FORMAT)
def test_a_format_is_kept(form: str) -> None:
    schema = {"type": "string", "format": form}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
        example_string(schema, "x")
    )


@pytest.mark.parametrize("pattern", [r"^\d{4}-\d{2}-\d{2}$", "^[a-z]+$", "^[A-Z]{2,}$", "^#[0-9a-f]{6}$"])
@pytest.mark.parametrize("name", ["city", "whatever"])
def test_a_plain_pattern_is_met(pattern: str, name: str) -> None:
    schema = {"type": "string", "pattern": pattern}
    Draft202012Validator(schema).validate(example_string(schema, name))


@pytest.mark.parametrize("pattern", ["(", r"\p{L}", "^(a+)+$"])
def test_any_other_pattern_does_no_harm(pattern: str) -> None:
    assert example_string({"pattern": pattern}, "whatever") == "example"


@pytest.mark.parametrize("value", [None, "5", True, -1, 1e308])
def test_a_length_that_is_none_does_no_harm(value: Any) -> None:
    for key in ("minLength", "maxLength"):
        assert len(example_string({key: value}, "whatever")) <= 10_000
