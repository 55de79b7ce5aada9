"""JSON values as the schema library gets them: their `repr`, of which its messages are made, costs nothing and shows
nothing of what they hold.
"""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 100
"""Arrays and objects inside each other."""


class TooDeep(Exception):
    """Arrays and objects stand inside each other more than MAX_DEPTH deep."""


class Text(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "…"


class Array(list[Any]):
    """`nodes`: the values in it, at any depth, and itself."""

    __slots__ = ("nodes",)
    nodes: int

    def __repr__(self) -> str:
        return "[…]"


class Object(dict[str, Any]):
    """`nodes` as in an array."""

    __slots__ = ("nodes",)
    nodes: int

    def __repr__(self) -> str:
        return "{…}"


def nodes_of(value: Any) -> int:
    return value.nodes if isinstance(value, (Array, Object)) else 1


def wrap(value: Any, *, depth: int = MAX_DEPTH) -> Any:
    """A copy of JSON values that shows nothing. A whole number that is written as a fraction becomes an integer, as
    JSON Schema counts it. Raises TooDeep.
    """
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if not isinstance(value, (list, dict)):
        return value
    if not depth:
        raise TooDeep
    copy: Array | Object
    if isinstance(value, list):
        copy = Array([wrap(each, depth=depth - 1) for each in value])
        copy.nodes = 1 + sum(map(nodes_of, copy))
    else:
        copy = Object({name: wrap(each, depth=depth - 1) for name, each in value.items()})
        copy.nodes = 1 + sum(map(nodes_of, copy.values()))
    return copy
