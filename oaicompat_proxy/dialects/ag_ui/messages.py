"""The agent's messages of one kind, text or reasoning, one after the other, though they may come at the same time.

Source: AG-UI 1.1, "Streaming Messages": start, content and end belong together by `messageId`, several messages may
be open at once, and one that is closed may be opened again. An answer is one text, so the message that began first
is the active one, and what the others say is held until it ends. Messages of other roles are echoes of the
conversation, those of sub-agents are inside: both are hidden.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ...core.errors import UpstreamError
from ...core.events import Event
from .chunks import ChunkStreams
from .limits import Budget

ASSISTANT = "assistant"

MOST_HELD = 1024 * 1024
"""Characters that may be held for messages that are not active; then the active one counts as ended."""

MOST_OPEN = 4 * 1024 * 1024
"""Characters of the names of all messages that are open at a time."""


class _Message:
    def __init__(self) -> None:
        self.held: list[str] = []
        self.ended = False


class Messages:
    """Follows the messages of one kind in one run. Methods return the events that can be told now."""

    def __init__(
        self, started: Callable[[bool], list[Event]], delta: Callable[[str], Event], chunks: ChunkStreams
    ) -> None:
        """`started`: the events of a beginning; its argument says whether it is another message than the one before."""
        self._started = started
        self._delta = delta
        self._chunks = chunks
        self._names = Budget(MOST_OPEN, "open messages")
        # moving
        self._open: dict[str, _Message] = {}
        self._order: deque[str] = deque()
        """Of the open ones; the first is active."""
        self._hidden: set[str] = set()
        """Echoes and sub-agents' messages that are open."""
        self._held = 0
        self._last: str | None = None
        """The message that was active last."""
        self.said = False
        """Some message of the agent's has begun."""

    @property
    def active(self) -> str | None:
        """The message whose pieces are told as they come."""
        return self._order[0] if self._order else None

    def is_hidden(self, message_id: str) -> bool:
        return message_id in self._hidden

    def start(self, message_id: str, *, hidden: bool = False) -> list[Event]:
        if hidden:
            if message_id not in self._open:
                self._hide(message_id)
            return []
        self._show(message_id)
        if message_id in self._open:
            return []
        self._names.take(message_id)
        self._open[message_id] = _Message()
        self._order.append(message_id)
        self.said = True
        return self._activate_next() if len(self._order) == 1 else self._hold("", message_id)

    def add(self, message_id: str, delta: str) -> list[Event]:
        if message_id in self._hidden:
            return []
        started = [] if message_id in self._open else self.start(message_id)
        if self._order[0] == message_id:
            return [*started, self._delta(delta)]
        return [*started, *self._hold(delta, message_id)]

    def end(self, message_id: str) -> list[Event]:
        self._show(message_id)
        if message_id not in self._open:
            return []
        self._open[message_id].ended = True
        return self._pass_on()

    def check_owner(self, message_id: str) -> None:
        """A sub-agent goes on with this message. Raises UpstreamError if it is the agent's own."""
        if message_id in self._open:
            raise UpstreamError("The agent sent a piece of its own message with the mark of a sub-agent.")

    def add_chunk(self, message_id: str | None, delta: str, *, role: str = "", owner: str = "") -> list[Event]:
        """The short form. `owner`: the sub-agent that sent it. Raises UpstreamError as `ChunkStreams.accept` does."""
        step = self._chunks.accept(message_id, owner, role, ASSISTANT)
        events = [] if step.closed is None else self.end(step.closed)
        if step.opens:
            events += self.start(step.item_id, hidden=bool(step.owner) or role not in ("", ASSISTANT))
        return events + (self.add(step.item_id, delta) if delta else [])

    def close_chunk(self, owner: str) -> list[Event]:
        """Something else came: the message that the short form of this owner has opened is over."""
        ended = self._chunks.close(owner)
        return [] if ended is None else self.end(ended)

    def close(self) -> list[Event]:
        """The run is over, and with it every message."""
        for message in self._open.values():
            message.ended = True
        return self._pass_on()

    def _hide(self, message_id: str) -> None:
        if message_id not in self._hidden:
            self._names.take(message_id)
            self._hidden.add(message_id)

    def _show(self, message_id: str) -> None:
        if message_id in self._hidden:
            self._names.give_back(message_id)
            self._hidden.discard(message_id)

    def _hold(self, delta: str, message_id: str) -> list[Event]:
        self._open[message_id].held.append(delta)
        self._held += _weight(delta)
        return self.end(self._order[0]) if self._held > MOST_HELD else []

    def _pass_on(self) -> list[Event]:
        """Goes on to the next message as long as the active one has ended."""
        events: list[Event] = []
        while self._order and self._open[self._order[0]].ended:
            ended = self._order.popleft()
            del self._open[ended]
            self._names.give_back(ended)
            events += self._activate_next()
        return events

    def _activate_next(self) -> list[Event]:
        """Makes the message that has waited longest the active one, if there is any."""
        if not self._order:
            return []
        message_id = self._order[0]
        message = self._open[message_id]
        is_another, self._last = message_id != self._last, message_id
        self._held -= sum(map(_weight, message.held))
        held, message.held = "".join(message.held), []
        return [*self._started(is_another), *([self._delta(held)] if held else [])]


def _weight(held: str) -> int:
    """Even nothing takes room."""
    return len(held) + 1
