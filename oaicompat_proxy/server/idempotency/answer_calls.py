"""The calls between processes that share a Redis about an answer, and their replies, as bytes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import orjson

READ = "read"
HOLD = "hold"
STOP = "stop"


@dataclass(slots=True, frozen=True)
class AnswerCall:
    """`wants`: READ, the next events; HOLD, to keep the events for this reader; STOP, to stop the run."""

    wants: str
    scope: str
    answer: str
    reader: str = ""
    """The reader's name, chosen by the calling process."""
    skipped: int = 0
    """Number of events that the reader has received."""

    def encode(self) -> bytes:
        return orjson.dumps(asdict(self))


def decode_call(data: bytes) -> AnswerCall:
    return AnswerCall(**orjson.loads(data))


State = Literal["live", "ended", "failed", "gone", "not a stream"]


@dataclass(slots=True, frozen=True)
class AnswerReply:
    """`state`: `gone` if the called process does not have the events (any more)."""

    state: State
    data: bytes = b""
    """Whole events; if the state is `failed`, the failure."""
    skipped: int = 0
    """Number of events in front of `data`."""
    ping: str = ""
    """A keep-alive that fits behind `data`."""
    committed: bool = False
    """The answer has begun, even if it has no events yet."""

    def encode(self) -> bytes:
        head = {"state": self.state, "skipped": self.skipped, "ping": self.ping, "committed": self.committed}
        return orjson.dumps(head) + b"\n" + self.data


def decode_reply(reply: bytes) -> AnswerReply:
    head, _, data = reply.partition(b"\n")
    return AnswerReply(**orjson.loads(head), data=data)


def count_events(data: bytes) -> int:
    return data.count(b"\n\n")
