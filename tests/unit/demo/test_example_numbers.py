"""Numbers within bounds: JSON Schema's own validator is the judge."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from oaicompat_proxy.demo.example_numbers import example_number, is_in_bounds

BOUNDS = st.integers(-50, 50) | st.sampled_from([-0.5, 0.1, 0.25, 1.5, 2.75, 1e6])


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """With room between the bounds: where there is none, nothing can be right."""
    low = draw(BOUNDS)
    high = low + draw(st.integers(4, 100))
    bounds = {"minimum": low, "maximum": high, "exclusiveMinimum": low, "exclusiveMaximum": high}
    schema: dict[str, Any] = {key: bound for key, bound in bounds.items() if draw(st.booleans())}
    if draw(st.booleans()):
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 0.5, 0.25]))
    return schema


@given(schemas(), st.booleans())
def test_all_bounds_hold_at_once(schema: dict[str, Any], is_integer: bool) -> None:
    value = example_number(schema, is_integer=is_integer)
    kind = "integer" if is_integer else "number"
    Draft202012Validator({"type": kind, **schema}).validate(value)
    assert is_in_bounds(value, schema)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, 1),
        ({"minimum": 5}, 5),
        ({"exclusiveMinimum": 5}, 6),
        ({"minimum": 5, "exclusiveMinimum": 5}, 6),
        ({"minimum": 5, "exclusiveMinimum": 7}, 8),
        ({"minimum": 5, "exclusiveMinimum": True}, 6),
        ({"maximum": -3}, -3),
        ({"exclusiveMaximum": 0}, -1),
        ({"minimum": 0, "exclusiveMinimum": 0, "maximum": 1}, 1),
        ({"minimum": 10, "maximum": 20, "multipleOf": 7}, 14),
        ({"multipleOf": 1.5}, 3),
    ],
)
def test_an_integer(schema: dict[str, Any], value: int) -> None:
    assert example_number(schema, is_integer=True) == value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"minimum": 0.1, "maximum": 0.2}, 0.2),
        ({"exclusiveMinimum": 1, "maximum": 1.5}, 1.5),
        ({"multipleOf": 0.4}, 1.2),
    ],
)
def test_a_number_between_two(schema: dict[str, Any], value: float) -> None:
    assert example_number(schema, is_integer=False) == value
    Draft202012Validator({k: v for k, v in schema.items() if k != "multipleOf"}).validate(value)
