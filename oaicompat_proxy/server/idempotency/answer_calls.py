"""What processes that share a Redis ask each other about an answer, as bytes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import orjson

READ = "read"
HOLD = "hold"
STOP = "stop"


@dataclass(slots=True, frozen=True)
class AnswerCall:
    """`wants`: READ, the next events; HOLD, that they are kept for this reader; STOP, the end of the run."""

    wants: str
    scope: str
    answer: str
    reader: str = ""
    """The name of a reader, which the asking process has chosen."""
    skipped: int = 0
    """Number of events that the reader has."""

    def encode(self) -> bytes:
        return orjson.dumps(asdict(self))


def decode_call(data: bytes) -> AnswerCall:
    return AnswerCall(**orjson.loads(data))


State = Literal["live", "ended", "failed", "gone", "not a stream"]


@dataclass(slots=True, frozen=True)
class AnswerReply:
    """`state`: `gone` if the events are not kept any more, or the answer is not made in the process that was asked."""

    state: State
    data: bytes = b""
    """Whole events, or the failure of an answer that failed before it had any."""
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
