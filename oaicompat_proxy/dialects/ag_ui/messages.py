"""The agent's text messages, one after the other, though they may come at the same time.

Source: AG-UI 1.0, text message events: start, content and end belong together by `messageId`, and several messages
may be open at once. An answer is one text, so the message that began first has the floor, and what the others say
is held until it ends. Messages of other roles are echoes of the conversation.
"""

from __future__ import annotations

from ...events import Event, TextDelta, TextStarted

SPEAKER = "assistant"

MOST_HELD = 1024 * 1024
"""Characters that may be held for messages without the floor; then the one that has it counts as ended."""


class _Message:
    def __init__(self) -> None:
        self.held: list[str] = []
        self.ended = False


class Messages:
    """Follows the messages of one run. Methods return what can be told now."""

    def __init__(self) -> None:
        self._open: dict[str, _Message] = {}
        self._echoes: set[str] = set()
        self._held = 0
        self._last: str | None = None
        """The message that spoke last."""
        self._chunked: str | None = None
        """The message that the short form has opened."""
        self.said = False
        """Some message of the agent's has begun."""

    def start(self, message_id: str, role: str) -> list[Event]:
        if role != SPEAKER:
            self._echoes.add(message_id)
            return []
        self._echoes.discard(message_id)
        if message_id in self._open:
            return []
        self._open[message_id] = _Message()
        self.said = True
        return self._hand_over() if len(self._open) == 1 else self._hold("", message_id)

    def add(self, message_id: str, delta: str) -> list[Event]:
        if message_id in self._echoes:
            return []
        started = [] if message_id in self._open else self.start(message_id, SPEAKER)
        if next(iter(self._open)) == message_id:
            return [*started, TextDelta(delta)]
        return [*started, *self._hold(delta, message_id)]

    def end(self, message_id: str) -> list[Event]:
        self._echoes.discard(message_id)
        if message_id not in self._open:
            return []
        self._open[message_id].ended = True
        return self._pass_on()

    def add_chunk(self, message_id: str, role: str, delta: str) -> list[Event]:
        """The short form: the first of a message names it, later ones may leave that out."""
        told: list[Event] = []
        if self._chunked is None or message_id not in ("", self._chunked):
            told += self.close_chunks()
            self._chunked = message_id
            told += self.start(message_id, role)
        return told + (self.add(self._chunked, delta) if delta else [])

    def close_chunks(self) -> list[Event]:
        """Something else came: the message that the short form has opened is over."""
        if self._chunked is None:
            return []
        ended, self._chunked = self._chunked, None
        return self.end(ended)

    def close(self) -> list[Event]:
        """The run is over, and with it every message."""
        for message in self._open.values():
            message.ended = True
        return self._pass_on()

    def _hold(self, delta: str, message_id: str) -> list[Event]:
        self._open[message_id].held.append(delta)
        self._held += _weight(delta)
        return self.end(next(iter(self._open))) if self._held > MOST_HELD else []

    def _pass_on(self) -> list[Event]:
        """Takes the floor from the messages that have ended."""
        told: list[Event] = []
        while self._open and next(iter(self._open.values())).ended:
            del self._open[next(iter(self._open))]
            told += self._hand_over()
        return told

    def _hand_over(self) -> list[Event]:
        """Gives the floor to the message that has waited longest, if there is one."""
        if not self._open:
            return []
        message_id, message = next(iter(self._open.items()))
        apart, self._last = message_id != self._last, message_id
        self._held -= sum(map(_weight, message.held))
        held, message.held = "".join(message.held), []
        return [TextStarted(apart), *([TextDelta(held)] if held else [])]


def _weight(held: str) -> int:
    """Even nothing takes room."""
    return len(held) + 1
