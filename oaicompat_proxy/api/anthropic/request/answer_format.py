"""The JSON that a Messages request wants as the answer's text.

Source: types of the `anthropic` package 2.14, `OutputConfigParam`; before it there was the beta's `output_format`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.request import AnswerFormat


def find_format(parameters: Mapping[str, Any]) -> AnswerFormat | None:
    """The JSON format that the request wants; None for free text, and for fields of an undocumented form."""
    config = parameters.get("output_config")
    places = {
        "output_config.format": config.get("format") if isinstance(config, Mapping) else None,
        "output_format": parameters.get("output_format"),
    }
    for param, wanted in places.items():
        if isinstance(wanted, Mapping) and wanted.get("type") == "json_schema" and "schema" in wanted:
            return AnswerFormat(wanted["schema"], f"{param}.schema", f"{param}.schema: ")
    return None
