"""What a Messages request says about the format of its answer."""

from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.api.anthropic.request.answer_format import find_format
from oaicompat_proxy.core.request import AnswerFormat

SCHEMA = {"type": "object"}
WANTED = {"type": "json_schema", "schema": SCHEMA}


def test_a_schema_is_found_with_its_place() -> None:
    place = "output_config.format.schema"
    assert find_format({"output_config": {"format": WANTED}}) == AnswerFormat(SCHEMA, place, f"{place}: ")
    place = "output_format.schema"
    assert find_format({"output_format": WANTED}) == AnswerFormat(SCHEMA, place, f"{place}: ")


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"output_config": 3},
        {"output_config": {"format": None, "effort": "low"}},
        {"output_config": {"format": {"type": "json_schema"}}},
        {"output_format": {"type": "other", "schema": SCHEMA}},
        {"output_format": []},
    ],
)
def test_other_fields_want_none(parameters: dict[str, Any]) -> None:
    assert find_format(parameters) is None
