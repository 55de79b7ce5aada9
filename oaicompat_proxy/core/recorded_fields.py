"""What a masked recording may show: an allow-list, written by each dialect and each API for its own events.

Everything that is not named is masked: texts, numbers, and the keys of objects that people or tools made.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, Union


class Readable(Enum):
    """A value that stays as it is, where it looks like what it is said to be."""

    ID = "id"
    """Up to 80 characters without white space: it ties events together."""
    NAME = "name"
    """Of a tool, an agent or a model."""
    TIME = "time"
    """An ISO 8601 time, or a number."""
    NUMBER = "number"
    """A count or a position."""
    PLACEHOLDER = "placeholder"
    """What a gateway writes where a tool of the client's has no result: `[NAME rendered on client]`."""
    FAILURE = "failure"
    """Why something failed, without secrets; clients are told it too."""


Rule = Union[Readable, frozenset[str], "Fields", None]
"""For one value: how it stays readable, the words of which it may be one, its fields if it is an object; None: masked.
For an array the rule is that of each item. The field `""` is the rule for a text where an object may stand."""

Fields = Mapping[str, Rule]
"""The keys of an object that stay readable, with the rule for the value of each."""


class RecordedFields(NamedTuple):
    """The allow-list of one protocol."""

    event_names: tuple[tuple[str, ...], ...]
    """The paths at which an event's name stands; the first that is there counts."""
    events: Mapping[str, Fields]
    """By the event's name. The name `""` stands for objects that have none."""
    unknown: Fields
    """Of an event with another name."""
