"""Generates a number within the bounds of a JSON Schema. Pure.

Source: JSON Schema, draft 2020-12, "Validation", 6.2; `exclusiveMinimum: true` beside `minimum` is draft 4's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, TypeGuard


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def example_number(schema: Mapping[str, Any], *, is_integer: bool) -> int | float:
    """The number nearest to 1 that is within all bounds and a multiple of `multipleOf`."""
    low, high = _lowest(schema), _highest(schema)
    step = schema.get("multipleOf")
    steps = [Fraction(str(step))] if is_number(step) and step > 0 else []
    steps += [Fraction(1)] if is_integer else []
    grid = _common_multiple(steps)
    if grid is not None:
        return _nearest_multiple(grid, low, high)
    return _nearest_to_one(low, high)


Bound = tuple[Fraction, bool] | None
"""A number, and whether the bound is exclusive."""


def is_in_bounds(value: int | float, schema: Mapping[str, Any]) -> bool:
    number, low, high, step = Fraction(str(value)), _lowest(schema), _highest(schema), schema.get("multipleOf")
    if low is not None and (number < low[0] or (number == low[0] and low[1])):
        return False
    if high is not None and (number > high[0] or (number == high[0] and high[1])):
        return False
    return not is_number(step) or step <= 0 or (number / Fraction(str(step))).denominator == 1


def _lowest(schema: Mapping[str, Any]) -> Bound:
    return max(_bounds(schema, "minimum", "exclusiveMinimum"), default=None)


def _highest(schema: Mapping[str, Any]) -> Bound:
    return min(_bounds(schema, "maximum", "exclusiveMaximum"), key=lambda bound: (bound[0], not bound[1]), default=None)


def _bounds(schema: Mapping[str, Any], inclusive: str, exclusive: str) -> list[tuple[Fraction, bool]]:
    bounds = []
    if is_number(schema.get(inclusive)):
        bounds.append((Fraction(str(schema[inclusive])), schema.get(exclusive) is True))
    if is_number(schema.get(exclusive)):
        bounds.append((Fraction(str(schema[exclusive])), True))
    return bounds


def _common_multiple(steps: list[Fraction]) -> Fraction | None:
    if not steps:
        return None
    bottom = math.lcm(*(step.denominator for step in steps))
    return Fraction(math.lcm(*(int(step * bottom) for step in steps)), bottom)


def _nearest_multiple(grid: Fraction, low: Bound, high: Bound) -> int | float:
    least = None if low is None else math.floor(low[0] / grid) + 1 if low[1] else math.ceil(low[0] / grid)
    most = None if high is None else math.ceil(high[0] / grid) - 1 if high[1] else math.floor(high[0] / grid)
    count = math.ceil(1 / grid)
    count = count if most is None else min(count, most)
    count = count if least is None else max(count, least)
    return _to_json_number(grid * count)


def _nearest_to_one(low: Bound, high: Bound) -> int | float:
    one = Fraction(1)
    if low is not None and (one < low[0] or (one == low[0] and low[1])):
        one = low[0] + 1 if low[1] else low[0]
    if high is not None and (one > high[0] or (one == high[0] and high[1])):
        one = high[0]
        if high[1]:
            one = high[0] - 1 if low is None or low[0] < high[0] - 1 else (low[0] + high[0]) / 2
    return _to_json_number(one)


def _to_json_number(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)
