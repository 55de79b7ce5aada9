"""Puts the agent's messages of one kind, text or reasoning, into sequence, though they may be open at the same time.

Source: AG-UI 1.1, "Streaming Messages": start, content and end belong together by `messageId`; several messages may be
open at once, and an ended message may be opened again. An answer is one text, so the message that began first is the
active one, and the deltas of the others are buffered until it ends. Messages of other roles repeat the conversation,
and those of sub-agents are internal: both are hidden.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ...core.errors import UpstreamError
from ...core.events import Event
from .chunks import ChunkStreams
from .limits import SizeLimit

ASSISTANT = "assistant"

MAX_BUFFERED = 1024 * 1024
"""Characters that are buffered for messages that are not active, at most. Beyond it the active one counts as ended."""

MAX_OPEN = 4 * 1024 * 1024
"""Characters of the ids of all open messages, at most."""


class _Message:
    def __init__(self) -> None:
        self.buffered: list[str] = []
        self.ended = False


class Messages:
    """State of the messages of one kind in one run. Methods return neutral events."""

    def __init__(
        self, started: Callable[[bool], list[Event]], delta: Callable[[str], Event], chunks: ChunkStreams
    ) -> None:
        """`started`: makes the events of a message's start. Its argument: the message was not active before."""
        self._started = started
        self._delta = delta
        self._chunks = chunks
        self._id_limit = SizeLimit(MAX_OPEN, "open messages")
        # state
        self._open: dict[str, _Message] = {}
        self._order: deque[str] = deque()
        """Ids of the open messages; the first is active."""
        self._hidden: set[str] = set()
        """Ids of the open hidden messages."""
        self._buffered_size = 0
        self._last_active: str | None = None
        """The message that was active last."""
        self.has_messages = False
        """Whether a message of the agent has begun."""
        self.has_text = False
        """Whether a message of the agent has sent a character."""

    @property
    def active(self) -> str | None:
        """The id of the message whose deltas become events at once; None before the first text."""
        return self._order[0] if self.has_text and self._order else None

    def is_hidden(self, message_id: str) -> bool:
        return message_id in self._hidden

    def start(self, message_id: str, *, hidden: bool = False) -> list[Event]:
        if hidden:
            if message_id not in self._open:
                self._hide(message_id)
            return []
        self._unhide(message_id)
        if message_id in self._open:
            return []
        self._id_limit.add(message_id)
        self._open[message_id] = _Message()
        self._order.append(message_id)
        self.has_messages = True
        return self._activate_next() if len(self._order) == 1 else self._hold("", message_id)

    def add(self, message_id: str, delta: str) -> list[Event]:
        if message_id in self._hidden:
            return []
        started = [] if message_id in self._open else self.start(message_id)
        if self._order[0] == message_id:
            return [*started, self._send(delta)]
        return [*started, *self._hold(delta, message_id)]

    def end(self, message_id: str) -> list[Event]:
        self._unhide(message_id)
        if message_id not in self._open:
            return []
        self._open[message_id].ended = True
        return self._activate_after_ended()

    def add_whole(self, message_id: str, text: str) -> list[Event]:
        """A message that comes at once."""
        return [*self.start(message_id), *self.add(message_id, text), *self.end(message_id)]

    def check_owner(self, message_id: str) -> None:
        """Raises UpstreamError if this message, which a sub-agent continues, is the agent's own."""
        if message_id in self._open:
            raise UpstreamError("The agent sent a piece of its own message with the mark of a sub-agent.")

    def add_chunk(self, message_id: str | None, delta: str, *, role: str = "", owner: str = "") -> list[Event]:
        """A `…_CHUNK` event. `owner`: its sub-agent. Raises UpstreamError as `ChunkStreams.accept` does."""
        target = self._chunks.accept(message_id, owner, role, ASSISTANT)
        events = [] if target.closed is None else self.end(target.closed)
        if owner:
            self.check_owner(target.item_id)
        if target.opens:
            is_hidden = role != ASSISTANT if role else self.is_hidden(target.item_id)
            events += self.start(target.item_id, hidden=bool(target.owner) or is_hidden)
        return events + (self.add(target.item_id, delta) if delta else [])

    def close_chunk(self, owner: str) -> list[Event]:
        """Ends the message that the owner's last chunk has opened or continued."""
        ended = self._chunks.close(owner)
        return [] if ended is None else self.end(ended)

    def close(self) -> list[Event]:
        """Ends all messages, because the run has ended."""
        for message in self._open.values():
            message.ended = True
        return self._activate_after_ended()

    def _hide(self, message_id: str) -> None:
        if message_id not in self._hidden:
            self._id_limit.add(message_id)
            self._hidden.add(message_id)

    def _unhide(self, message_id: str) -> None:
        if message_id in self._hidden:
            self._id_limit.remove(message_id)
            self._hidden.discard(message_id)

    def _send(self, delta: str) -> Event:
        self.has_text = self.has_text or bool(delta)
        return self._delta(delta)

    def _hold(self, delta: str, message_id: str) -> list[Event]:
        self._open[message_id].buffered.append(delta)
        self._buffered_size += _buffered_cost(delta)
        return self.end(self._order[0]) if self._buffered_size > MAX_BUFFERED else []

    def _activate_after_ended(self) -> list[Event]:
        """Drops ended messages from the front of the order; activates the first that has not ended."""
        events: list[Event] = []
        while self._order and self._open[self._order[0]].ended:
            ended = self._order.popleft()
            del self._open[ended]
            self._id_limit.remove(ended)
            events += self._activate_next()
        return events

    def _activate_next(self) -> list[Event]:
        """Makes the oldest open message the active one, if there is any."""
        if not self._order:
            return []
        message_id = self._order[0]
        message = self._open[message_id]
        is_new, self._last_active = message_id != self._last_active, message_id
        self._buffered_size -= sum(map(_buffered_cost, message.buffered))
        buffered, message.buffered = "".join(message.buffered), []
        return [*self._started(is_new), *([self._send(buffered)] if buffered else [])]


def _buffered_cost(delta: str) -> int:
    """Characters of a buffered delta, with 1 for the delta itself."""
    return len(delta) + 1
