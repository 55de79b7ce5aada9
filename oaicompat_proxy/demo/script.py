"""The steps of one run of a demo agent. Pure.

A `Script` is a list of ticks (Agentick's word for one model turn), and a tick is a list of steps. `execution` turns it
into the bytes of a real gateway. A `RawScript` holds ready bytes, a recording or a broken answer, which are sent
unchanged. The lengths of pauses are multiples of the setting `pace`.
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
    """Text of the answer, in one delta for each piece."""

    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Think:
    """Reasoning, in one delta for each piece. As in the real gateway, the block stays open until the message ends."""

    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spawn:
    """A child agent that runs inside a tool call."""

    prompt: str
    script: Script
    component: str = "Child"


@dataclass(frozen=True, slots=True)
class ScriptedToolCall:
    """A tool call: how the model streams it and how the gateway executes it."""

    id: str
    name: str
    arguments: tuple[str, ...] = ()
    """JSON text, in one delta for each piece."""
    result: str = ""
    is_error: bool = False
    executed_by: Literal["server", "client"] = "server"
    deltas: bool = True
    """False: the provider reports only the complete call."""
    ended: bool = True
    """False: the provider never ends the call; the gateway does so when the message ends."""
    copies: int = 1
    """How many times the complete call is reported and executed."""
    interleaved: ScriptedToolCall | None = None
    """A parallel call whose deltas alternate with this one's. Both have the same block index."""
    spawn: Spawn | None = None
    confirm: bool = False
    """The engine asks for a confirmation first."""


@dataclass(frozen=True, slots=True)
class ReportError:
    """The provider reports an error, and the stream continues."""

    message: str
    code: str


@dataclass(frozen=True, slots=True)
class FailRun:
    """The model call fails, which ends the run."""

    message: str


@dataclass(frozen=True, slots=True)
class Pause:
    factor: float = 1.0
    """Multiple of the setting `pace`."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Sends nothing until the session is closed."""


@dataclass(frozen=True, slots=True)
class DropConnection:
    """Drops the connection without the last chunk of the body."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes, sent unchanged in one HTTP chunk."""

    data: bytes


Step = Say | Think | ScriptedToolCall | ReportError | FailRun | Pause | Hang | DropConnection | Raw


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
    stop_reason: str = "stop"
    should_continue: bool = False
    """The value of `tick_end.shouldContinue`."""
    usage: Usage | None = None
    """None: the words are counted."""
    usage_late: bool = False
    """The provider reports usage after the message, so that of `message_end` is zero."""
    padding: int = 0
    """Bytes that are added to the `compiled` frame."""


@dataclass(frozen=True, slots=True)
class Script:
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class RawScript:
    """A run of ready bytes."""

    steps: tuple[Raw | Pause | Hang | DropConnection, ...]


def split_words(text: str) -> tuple[str, ...]:
    """Splits text into pieces as a model streams it. Joined, they are the text again."""
    return tuple(WORD.findall(text))


def count_words(pieces: Iterable[str]) -> int:
    """The number of words, as a rough number of tokens."""
    return sum(len(piece.split()) for piece in pieces)


def parse_arguments(arguments: tuple[str, ...]) -> dict[str, Any]:
    """Arguments as the gateway parses them: no text is `{}`, anything but an object becomes `{"raw": text}`."""
    text = "".join(arguments)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"raw": text}


def raw_script(recording: bytes, offsets: Iterable[int] = ()) -> RawScript:
    """A recording split at the given offsets; without any, after each frame."""
    edges = sorted({offset for offset in offsets if 0 < offset < len(recording)})
    if not edges:
        return RawScript(tuple(Raw(frame + b"\n\n") for frame in recording.split(b"\n\n") if frame))
    bounds = [0, *edges, len(recording)]
    return RawScript(tuple(Raw(recording[start:stop]) for start, stop in pairwise(bounds)))
