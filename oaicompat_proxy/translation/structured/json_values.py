"""JSON values for the schema library. Its messages contain their `repr`, so `repr` is cheap and hides the content."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 100
"""Nesting depth of arrays and objects."""


class TooDeep(Exception):
    """Arrays and objects are nested more than MAX_DEPTH deep."""


class Text(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "…"


class Array(list[Any]):
    """`nodes`: the number of values in the array at any depth, with the array itself."""

    __slots__ = ("nodes",)
    nodes: int

    def __repr__(self) -> str:
        return "[…]"


class Object(dict[str, Any]):
    """`nodes`: the number of values in the object at any depth, with the object itself."""

    __slots__ = ("nodes",)
    nodes: int

    def __repr__(self) -> str:
        return "{…}"


def nodes_of(value: Any) -> int:
    return value.nodes if isinstance(value, (Array, Object)) else 1


def wrap(value: Any, *, depth: int = MAX_DEPTH) -> Any:
    """A copy of a JSON value in the classes of this module. `1.0` becomes the integer 1, as JSON Schema has it. Raises
    TooDeep.
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
