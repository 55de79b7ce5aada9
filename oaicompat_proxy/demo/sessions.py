"""Sessions of a demo gateway: created on first use, with their conversation, until they are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from .agents import Agent
from .runs import Run


class UnknownApp(Exception):
    """The key names an agent that this gateway does not have."""

    def __init__(self, app: str, available: Iterable[str]) -> None:
        super().__init__(f'Unknown app "{app}". Available: {", ".join(available)}')


class InvalidSessionId(Exception):
    """A session id that is not a string. The message is the one of the real gateway."""

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
    """Sends queued behind the current run: the session id as the client sent it, and the messages."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def sequence(self) -> int:
        """The next event number. Events are numbered per session, across all of its runs."""
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
        """The key `app:name` of a session id `[app:]name`, split at the first colon. The first agent is the default."""
        if not isinstance(session_id, str):
            raise InvalidSessionId
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
        except (UnknownApp, InvalidSessionId):
            return None

    def close(self, session: Session) -> None:
        """Removes the session with its conversation and its queue, and stops its run."""
        session.waiting.clear()
        self._open.pop(session.key, None)
        if session.run:
            session.run.abort()

    def clear(self) -> None:
        """Removes all sessions without aborting their runs."""
        self._open.clear()
