"""The allow-list of a masked recording; each dialect and each API has one for its own events.

All other values are masked: texts, numbers, and keys of objects whose names a protocol does not fix.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, Union


class Readable(Enum):
    """A kind of value that is not masked, if it has the form of its kind."""

    ID = "id"
    """Up to 80 characters without white space."""
    NAME = "name"
    """The name of a tool, an agent or a model."""
    TIME = "time"
    """An ISO 8601 time, or a number."""
    NUMBER = "number"
    """A count or a position."""
    PLACEHOLDER = "placeholder"
    """A gateway's stand-in for the result of a client's tool: `[NAME rendered on client]`."""
    FAILURE = "failure"
    """The message of a failure, without secrets, as clients get it."""
    OUTPUT = "output"
    """The result of a call whose arguments are the agent's answer: its first words, which say so."""


Rule = Union[Readable, frozenset[str], "Fields", None]
"""The rule for one value: its kind, its allowed words, or for an object its fields; None: masked.
The rule of an array applies to each item. The field `""` is the rule for a string in place of an object."""

Fields = Mapping[str, Rule]
"""The readable keys of an object, with the rule for the value of each."""


class RecordedFields(NamedTuple):
    """The allow-list of one protocol."""

    event_names: tuple[tuple[str, ...], ...]
    """The paths at which an event may have its name; the first that exists counts."""
    events: Mapping[str, Fields]
    """By the event's name; `""` for objects without a name."""
    unknown: Fields
    """The fields of all other events."""
