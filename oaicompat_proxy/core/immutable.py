"""Classes whose objects are made once and then only read.

`dataclass(frozen=True)` would watch over that while the program runs, and each field would cost a call: an object of
seven takes four times as long to make. Here mypy watches, which sees every assignment of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True)
def readonly(cls: type[Class]) -> type[Class]:
    """For what many of are made for each request."""
    return dataclass(slots=True)(cls)
