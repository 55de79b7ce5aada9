"""What a demo agent does in one run, step by step. Pure.

A `Script` is a list of ticks (model turns), a tick a list of steps. `frames` turns it into the bytes a real
gateway would send; a `Tape` is bytes already made (a recording, a broken answer) and is played as it is.
Waits are counted in beats: one beat is the pause between two words, so a single setting scales them all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

WORD = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class Say:
    """Text of the answer, one delta a piece."""

    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Think:
    """Reasoning, one delta a piece; like the real gateway it stays open until the message ends."""

    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spawn:
    """A child agent that runs inside a tool call."""

    prompt: str
    script: Script
    component: str = "Child"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call and what the gateway's engine makes of it."""

    id: str
    name: str
    arguments: tuple[str, ...] = ()
    """JSON text in pieces, one delta each."""
    result: str = ""
    is_error: bool = False
    by: Literal["server", "client"] = "server"
    deltas: bool = True
    """False: the provider reports the call only as a whole."""
    ended: bool = True
    """False: the provider never closes the call, the gateway does when the message ends."""
    copies: int = 1
    """How often the whole call is reported (and run)."""
    interleaved: Call | None = None
    """A parallel call whose deltas come between this one's; both have the same block index."""
    spawn: Spawn | None = None
    confirm: bool = False
    """The engine asks the user first."""


@dataclass(frozen=True, slots=True)
class Report:
    """The provider reports a fault and the stream goes on."""

    message: str
    code: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The model call raises: the run is over."""

    message: str


@dataclass(frozen=True, slots=True)
class Pause:
    beats: float = 1.0


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence until somebody closes the session."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is dropped, without the chunk that would end the body."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes, as they are, in one HTTP chunk."""

    data: bytes


Step = Say | Think | Call | Report | Fail | Pause | Hang | Cut | Raw


@dataclass(frozen=True, slots=True)
class Usage:
    input: int = 0
    output: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input + other.input, self.output + other.output)

    def json(self) -> dict[str, int]:
        return {
            "inputTokens": self.input,
            "outputTokens": self.output,
            "totalTokens": self.input + self.output,
        }


@dataclass(frozen=True, slots=True)
class Tick:
    """One model turn."""

    steps: tuple[Step, ...]
    stop: str = "stop"
    go_on: bool = False
    """What `tick_end.shouldContinue` says."""
    usage: Usage | None = None
    """None: words are counted."""
    usage_late: bool = False
    """The provider counts after the message's end, so `message_end` says zero."""
    padding: int = 0
    """Bytes by which the `compiled` frame is longer than the prompt makes it."""


@dataclass(frozen=True, slots=True)
class Script:
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Tape:
    """A run that is bytes from the start."""

    steps: tuple[Raw | Pause | Hang | Cut, ...]


def words(text: str) -> tuple[str, ...]:
    """The text in pieces as a model would stream it; joined they are the text."""
    return tuple(WORD.findall(text))


def count(pieces: Iterable[str]) -> int:
    """Tokens, roughly: words."""
    return sum(len(piece.split()) for piece in pieces)


def parsed(arguments: tuple[str, ...]) -> dict[str, Any]:
    """Arguments as the accumulator reads them: nothing is `{}`, what is no object is kept raw."""
    text = "".join(arguments)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"raw": text}


def tape(recording: bytes, cuts: Iterable[int] = ()) -> Tape:
    """A recording cut at the given offsets, or, without any, after each frame."""
    edges = sorted({cut for cut in cuts if 0 < cut < len(recording)})
    if not edges:
        return Tape(tuple(Raw(frame + b"\n\n") for frame in recording.split(b"\n\n") if frame))
    bounds = [0, *edges, len(recording)]
    return Tape(tuple(Raw(recording[start:stop]) for start, stop in pairwise(bounds)))
