"""The bounds of checked numbers, and what lies at and behind them."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from oaicompat_proxy.api.number_types import Decimal, Integer, Natural, NonNegative, Positive

IN = [
    (Integer, -(2**63)),
    (Integer, 2**63 - 1),
    (Natural, 0),
    (Natural, 2**63 - 1),
    (Positive, 1),
    (Positive, 2**63 - 1),
    (Decimal, -1e300),
    (Decimal, 2),
    (NonNegative, 0),
    (NonNegative, 1e300),
]
OUT = [
    (Integer, -(2**63) - 1),
    (Integer, 2**63),
    (Natural, -1),
    (Natural, 10**304),
    (Positive, 0),
    (Positive, 2**63),
    (Decimal, -sys.float_info.max),
    (Decimal, 10**304),
    (NonNegative, -0.1),
    (NonNegative, sys.float_info.max),
]


@pytest.mark.parametrize(("kind", "value"), IN)
def test_a_number_at_its_bound_is_accepted(kind: Any, value: float) -> None:
    assert TypeAdapter(kind).validate_python(value, strict=True) == value


@pytest.mark.parametrize(("kind", "value"), OUT)
def test_a_number_behind_its_bound_is_refused(kind: Any, value: float) -> None:
    with pytest.raises(ValidationError, match=r"(greater|less) than or equal"):
        TypeAdapter(kind).validate_python(value, strict=True)
