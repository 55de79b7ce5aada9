"""Sessions of a demo gateway: made on first use, with their conversation, until somebody closes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from .agents import Agent
from .runs import Run


class UnknownApp(Exception):
    """The key names an agent that is not here."""

    def __init__(self, app: str, available: Iterable[str]) -> None:
        super().__init__(f'Unknown app "{app}". Available: {", ".join(available)}')


class BadKey(Exception):
    """A session id that is no string; the text is what the real gateway lets out."""

    def __init__(self) -> None:
        super().__init__("key.split is not a function")


@dataclass
class Session:
    key: str
    agent: Agent
    created: str
    last_activity: str
    timeline: list[dict[str, Any]] = field(default_factory=list)
    run: Run | None = None
    waiting: list[tuple[str, tuple[dict[str, Any], ...]]] = field(default_factory=list)
    """Sends that came while a run was on: session id as written, and messages."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def sequence(self) -> int:
        """Events are numbered per session, over all its runs."""
        return next(self._numbers)


class Sessions:
    def __init__(self, agents: Iterable[Agent], now: Callable[[], str]) -> None:
        self._agents = {agent.id: agent for agent in agents}
        self._default = next(iter(self._agents))
        self._now = now
        self._open: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter([*self._open.values()])

    def key(self, session_id: Any) -> str:
        """`[app:]name`, cut at the first colon; without an app it is the default one's."""
        if not isinstance(session_id, str):
            raise BadKey
        app, colon, name = session_id.partition(":")
        if not colon or not app:
            return f"{self._default}:{name if colon else session_id}"
        if app not in self._agents:
            raise UnknownApp(app, self._agents)
        return f"{app}:{name}"

    def open(self, session_id: Any) -> Session:
        key = self.key(session_id)
        now = self._now()
        session = self._open.get(key)
        if session is None:
            session = self._open[key] = Session(key, self._agents[key.partition(":")[0]], now, now)
        session.last_activity = now
        return session

    def find(self, session_id: Any) -> Session | None:
        try:
            return self._open.get(self.key(session_id))
        except (UnknownApp, BadKey):
            return None

    def close(self, session: Session) -> None:
        """Forgets the conversation, and what waited for its turn."""
        session.waiting.clear()
        self._open.pop(session.key, None)
        if session.run:
            session.run.abort()

    def forget(self) -> None:
        """All of them, without a word to anybody."""
        self._open.clear()
