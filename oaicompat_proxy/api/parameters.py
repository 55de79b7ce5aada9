"""The parameters of a request that its API does not use itself; the agent gets them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from ..core.exact_json import extract_exact
from ..core.json_text import JsonText
from .protocol import ParsedBody

TOOLS = frozenset({"tools"})
NO_TOOLS: frozenset[str] = frozenset()


def with_exact(body: bytes, members: dict[str, Any], used: AbstractSet[str]) -> ParsedBody:
    """`members`: parsed from `body`. Without parameters, nothing has to be passed on exactly."""
    return ParsedBody(members, {} if members.keys() <= used else extract_exact(body, members), len(body))


def find_parameters(
    body: ParsedBody, used: AbstractSet[str], tools: AbstractSet[str] = TOOLS
) -> tuple[dict[str, Any], Mapping[str, JsonText]]:
    """The parameters that have a value, and the JSON texts of those among them that parsing has changed.

    `used`: the names that the API uses itself. `tools`: the names of lists that say nothing if they are empty.
    """
    if body.members.keys() <= used:
        return {}, {}
    parameters = {
        name: value
        for name, value in body.members.items()
        if value is not None and name not in used and (name not in tools or value != [])
    }
    return parameters, {name: text for name, text in body.exact.items() if name in parameters}
