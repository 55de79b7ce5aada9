"""Encodes the events of a run as Agentick frames, with the fields in the order of the real gateway. Pure.

Times, ids and sequence numbers come from `Stamps` and a counter that the caller passes in, so a test can repeat a run
byte for byte. Source: real `POST /send` bodies of release 0.9.4.
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
"""The `tick` of every model event. The real gateway sends 1 in every tick."""


class Stamps:
    """Timestamps and ids of one gateway. Event ids are counted across all of its sessions."""

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
    """JSON as JavaScript's `JSON.stringify` writes it: compact and unescaped, except for lone surrogates."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        paired = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return SURROGATE.sub(lambda lone: f"\\u{ord(lone[0]):04x}", paired).encode()


def envelope(event: str, session_id: Any, data: dict[str, Any]) -> bytes:
    frame = {"type": "event", "event": event, "sessionId": session_id, "data": data}
    return b"data: " + stringify(frame) + b"\n\n"


def transport_error(session_id: Any, message: str) -> bytes:
    """The transport's error frame, with which a failed `/send` ends."""
    return envelope("error", session_id, {"error": message})


@dataclass(frozen=True, slots=True)
class FrameFactory:
    """Encodes the events of one execution with the fields that they share."""

    session_id: str
    """The id as the client sent it; frames repeat it."""
    execution_id: str
    stamps: Stamps
    sequence: Callable[[], int]
    spawn_path: tuple[str, ...] = ()

    def engine_event(self, type_: str, tick: int, /, **fields: Any) -> bytes:
        """An event of the engine: its own fields, then the base fields that it does not set."""
        data = {"type": type_, **fields}
        for name, value in (
            ("executionId", self.execution_id),
            ("id", self.stamps.new_id()),
            ("timestamp", self.stamps.time()),
            ("tick", tick),
            ("sequence", self.sequence()),
        ):
            data.setdefault(name, value)
        return self._frame(data)

    def model_event(self, type_: str, /, **fields: Any) -> bytes:
        """An event of the model: base fields, its own fields, then the execution id."""
        event_id = self.stamps.message_id() if type_ == "message" else self.stamps.event_id()
        data = {
            "type": type_,
            "id": event_id,
            "sequence": self.sequence(),
            "tick": MODEL_TICK,
            "timestamp": self.stamps.time(),
            **fields,
            "executionId": self.execution_id,
        }
        return self._frame(data)

    def child(self, spawn_id: str) -> FrameFactory:
        """The frames of a child execution in the same stream."""
        path = (*self.spawn_path, spawn_id)
        return FrameFactory(self.session_id, self.stamps.new_id(), self.stamps, self.sequence, path)

    def _frame(self, data: dict[str, Any]) -> bytes:
        if self.spawn_path:
            data["spawnPath"] = list(self.spawn_path)
        return envelope(data["type"], self.session_id, data)
