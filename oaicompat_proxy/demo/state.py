"""What a demo gateway remembers and does, apart from HTTP: sessions, runs, listeners."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .agents import AGENTS
from .execution import Cast, Performance
from .frames import Stage, Stamps
from .prompt import Prompt, read_prompt
from .replay_buffer import Bell, Replay
from .runs import REMEMBERED, Run, RunRecord, Runs, State
from .scenarios import compose
from .script import Cut, Script, Tape, tape
from .sessions import Session, Sessions
from .settings import GatewaySettings

CALL_ID = 12
"""Letters in a tool call's id."""

Message = dict[str, Any]


@dataclass
class Listener:
    """One open `/events` connection."""

    id: str
    client_id: str | None
    frames: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    """None: the connection is lost."""
    keys: list[str] = field(default_factory=list)


class House:
    """The gateway behind the routes; tests look at `runs` and `requests`, and wait with `until`."""

    def __init__(self, settings: GatewaySettings) -> None:
        # fixed
        self.settings = settings
        self.stamps = Stamps(lambda: time.time_ns() // 1_000_000, lambda: str(uuid.uuid4()))
        self.sessions = Sessions(AGENTS, self.stamps.time)
        self.bell = Bell()
        # moving
        self.runs = Runs()
        self.requests: list[tuple[str, bytes]] = []
        """Path and body of the latest requests, oldest first."""
        self.listeners: dict[str, Listener] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def until(self, condition: Callable[[House], bool]) -> None:
        """Waits until something happens that makes the condition true."""
        while not condition(self):
            await self.bell.wait()

    def note(self, path: str, body: bytes) -> None:
        self.requests.append((path, body))
        del self.requests[:-REMEMBERED]
        self.bell.ring()

    def send(
        self, session_id: Any, *messages: Message, metadata: Message | None = None, besides: str | None = None
    ) -> tuple[RunRecord, Replay]:
        """A run for these messages; or, while the session is busy, the run that is on.

        `metadata` is that of the request. `besides`: the `/events` connection that gets no copy.
        """
        session = self.sessions.open(session_id)
        run = session.run
        if run:
            session.waiting.append((session_id, messages))
        else:
            run = self._start(session, self._run(session, session_id, messages, metadata, besides))
        return run.record, run.replay

    def abort(self, session_id: Any) -> bool:
        """Stops what runs in a session, which stays; False if there is none."""
        session = self.sessions.find(session_id)
        if session and session.run:
            session.run.abort()
            self.bell.ring()
        return session is not None

    def restart(self) -> None:
        """A gateway that was stopped and started: no session is known, every open stream was cut."""
        for session in self.sessions:
            if session.run:
                session.run.put(Cut())
        for task in self._tasks:
            task.cancel()
        self.sessions.forget()
        for listener in self.listeners.values():
            listener.frames.put_nowait(None)
        self.bell.ring()

    def close(self, session_id: Any) -> bool:
        """Forgets a session and stops its run; False if there is none."""
        session = self.sessions.find(session_id)
        if session:
            self.sessions.close(session)
            self.bell.ring()
        return session is not None

    def confirm(self, session_id: Any, call_id: str, confirmed: bool) -> bool:
        session = self.sessions.find(session_id)
        return bool(session and session.run and session.run.confirm(call_id, confirmed))

    async def shut(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, session: Session, run: Run) -> Run:
        session.run = run
        task = asyncio.create_task(self._play(session, run), name=f"run of {session.key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.bell.ring()
        return run

    async def _play(self, session: Session, run: Run) -> None:
        """The run, then whatever was sent to the session meanwhile: in runs that nobody receives."""
        following = None
        try:
            self.runs.end(run.record, await self._state_of(run))
            if run.record.state == "finished":
                session.timeline.extend(run.performance.entries)
            following = self._run(session, *session.waiting.pop(0)) if session.waiting else None
            run.close(following)
        finally:
            session.run = None
            run.replay.close()
            self.bell.ring()
        if following:
            self._start(session, following)

    async def _state_of(self, run: Run) -> State:
        try:
            return await run.play()
        except asyncio.CancelledError:
            self.runs.end(run.record, "aborted")
            raise

    def _run(
        self,
        session: Session,
        session_id: str,
        messages: Sequence[Message],
        metadata: Message | None = None,
        besides: str | None = None,
    ) -> Run:
        kept = [self._kept(message) for message in messages if isinstance(message.get("content"), list)]
        prompt = read_prompt(*kept, metadata=metadata)
        script = self._script(session, prompt)
        stage = Stage(session_id, self.stamps.new_id(), self.stamps, session.sequence)
        cast = Cast(session.agent, session.agent.tools + prompt.tools, session.timeline)
        whole = Script(()) if isinstance(script, Tape) else script
        record = self._record(session, session_id, messages, metadata, isinstance(script, Tape))
        return Run(
            record,
            Performance(whole, stage, cast, kept),
            Replay(self.settings.corrupt_joined),
            lambda frame: self._publish(session.key, frame, besides),
            self.settings.pace,
            script if isinstance(script, Tape) else None,
            self.settings.sends_synthetic_end,
        )

    def _kept(self, message: Message) -> Message:
        """As it comes into the conversation."""
        blocks = [block for block in message["content"] if isinstance(block, dict)]
        return {**message, "content": blocks, "id": message.get("id") or self.stamps.new_id()}

    def _record(
        self, session: Session, session_id: str, messages: Sequence[Message], metadata: Message | None, is_tape: bool
    ) -> RunRecord:
        last = messages[-1] if messages else {}
        about = {**(metadata or {}), **(last.get("metadata") or {})}
        record = RunRecord(session.key, session_id, last.get("content"), about, tuple(messages), is_tape)
        self.runs.add(record)
        return record

    def _script(self, session: Session, prompt: Prompt) -> Script | Tape:
        recorded = self.settings.recordings.get(prompt.last)
        if recorded is None:
            return compose(session.agent, prompt, lambda: uuid.uuid4().hex[:CALL_ID])
        return tape(recorded) if isinstance(recorded, bytes) else recorded

    def _publish(self, key: str, frame: bytes, besides: str | None) -> None:
        for listener in self.listeners.values():
            if key in listener.keys and besides not in (listener.id, listener.client_id or listener.id):
                listener.frames.put_nowait(frame)
