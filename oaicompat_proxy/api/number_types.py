"""The numbers of checked fields, as types that pydantic checks.

A field is passed on as the client wrote it, and an agent whose JSON parser cannot read a number refuses the whole
request: Python reads integers of at most 4300 digits, Go and Rust none beyond a double. So a checked field has bounds
even if its API documents none.

Source: OpenAI's API description 2.3.0: `seed` is an integer of 64 bits.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MAX_INTEGER = 2**63 - 1
MAX_DECIMAL = 1e300
"""Below the largest double, which stands for all numbers beyond it (`core.exact_json`)."""

Integer = Annotated[int, Field(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]
Natural = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Positive = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
Decimal = Annotated[float, Field(ge=-MAX_DECIMAL, le=MAX_DECIMAL)]
NonNegative = Annotated[float, Field(ge=0.0, le=MAX_DECIMAL)]
