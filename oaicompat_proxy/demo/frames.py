"""Events of a run as the bytes of an Agentick gateway, field by field in its order. Pure.

Time, ids and numbers come from the `Stamps` and the counter that are handed in, so the same run is the same
bytes twice. Source: real `POST /send` bodies of release 0.9.4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SURROGATE = re.compile("[\ud800-\udfff]")
MODEL_TICK = 1
"""What every event that comes from the model says of its tick, whatever tick it is."""


class Stamps:
    """Times and ids of one gateway; event ids are numbered over all its sessions."""

    def __init__(self, now: Callable[[], int], new_id: Callable[[], str]) -> None:
        self._now = now
        """Milliseconds since 1970."""
        self.new_id = new_id
        self._events = 0
        self._messages = 0

    def time(self) -> str:
        moment = datetime.fromtimestamp(self._now() / 1000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def event_id(self) -> str:
        self._events += 1
        return f"evt_{self._now()}_{self._events}"

    def message_id(self) -> str:
        self._messages += 1
        return f"aevt_{self._now()}_{self._messages}"


def stringify(value: Any) -> bytes:
    """JSON as JavaScript writes it: compact, not escaped, except half surrogate pairs."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", whole).encode()


def envelope(event: str, session_id: Any, data: dict[str, Any]) -> bytes:
    frame = {"type": "event", "event": event, "sessionId": session_id, "data": data}
    return b"data: " + stringify(frame) + b"\n\n"


def transport_error(session_id: Any, message: str) -> bytes:
    """The gateway's own last word about a send that failed."""
    return envelope("error", session_id, {"error": message})


@dataclass(frozen=True, slots=True)
class Stage:
    """Where an execution is played: what all its events share."""

    session_id: str
    """As the caller wrote it: frames echo it."""
    execution_id: str
    stamps: Stamps
    sequence: Callable[[], int]
    spawn_path: tuple[str, ...] = ()

    def engine(self, type_: str, at: int, /, **fields: Any) -> bytes:
        """An event of the engine: the base fields it does not bring itself come after its own."""
        data = {"type": type_, **fields}
        for name, value in (
            ("executionId", self.execution_id),
            ("id", self.stamps.new_id()),
            ("timestamp", self.stamps.time()),
            ("tick", at),
            ("sequence", self.sequence()),
        ):
            data.setdefault(name, value)
        return self._frame(data)

    def model(self, type_: str, /, **fields: Any) -> bytes:
        """An event of the model: the base fields come first, the execution last."""
        name = self.stamps.message_id() if type_ == "message" else self.stamps.event_id()
        data = {
            "type": type_,
            "id": name,
            "sequence": self.sequence(),
            "tick": MODEL_TICK,
            "timestamp": self.stamps.time(),
            **fields,
            "executionId": self.execution_id,
        }
        return self._frame(data)

    def child(self, spawn_id: str) -> Stage:
        """The same stream, for an execution inside this one."""
        path = (*self.spawn_path, spawn_id)
        return Stage(self.session_id, self.stamps.new_id(), self.stamps, self.sequence, path)

    def _frame(self, data: dict[str, Any]) -> bytes:
        if self.spawn_path:
            data["spawnPath"] = list(self.spawn_path)
        return envelope(data["type"], self.session_id, data)
