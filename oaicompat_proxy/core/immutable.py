"""Immutable dataclasses that cost no more than mutable ones.

`dataclass(frozen=True)` checks every assignment at run time, also those of `__init__`: an object with seven fields
takes four times as long to make. `readonly` classes are checked by mypy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True)
def readonly(cls: type[Class]) -> type[Class]:
    """For classes with many objects in each request."""
    return dataclass(slots=True)(cls)
