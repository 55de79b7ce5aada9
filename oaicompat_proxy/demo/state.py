"""State of a demo gateway, without HTTP: its sessions, runs and subscribers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .agents import AGENTS
from .execution import Execution, RunContext
from .frames import FrameFactory, Stamps
from .prompt import Prompt, read_prompt
from .replay_buffer import Notifier, ReplayBuffer
from .runs import MAX_RECORDS, Run, RunRecord, Runs, RunStatus
from .scenarios import script_for
from .script import DropConnection, RawScript, Script, raw_script
from .sessions import Session, Sessions
from .settings import GatewaySettings

CALL_ID_LENGTH = 12
"""Characters of a tool call's id after `call_`."""

Message = dict[str, Any]


@dataclass
class Subscriber:
    """One open `/events` connection."""

    id: str
    client_id: str | None
    frames: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    """None ends the connection."""
    keys: list[str] = field(default_factory=list)


class GatewayState:
    """The gateway behind the routes. Tests read `runs` and `requests`, and wait with `wait_until`."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.stamps = Stamps(lambda: time.time_ns() // 1_000_000, lambda: str(uuid.uuid4()))
        self.sessions = Sessions(AGENTS, self.stamps.time)
        self.notifier = Notifier()
        # state
        self.runs = Runs()
        self.requests: list[tuple[str, bytes]] = []
        """Path and body of the latest requests, oldest first."""
        self.subscribers: dict[str, Subscriber] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def wait_until(self, condition: Callable[[GatewayState], bool]) -> None:
        """Waits until the condition is true; it is checked after each change."""
        while not condition(self):
            await self.notifier.wait()

    def record_request(self, path: str, body: bytes) -> None:
        self.requests.append((path, body))
        del self.requests[:-MAX_RECORDS]
        self.notifier.notify()

    def send(
        self,
        session_id: Any,
        *messages: Message,
        metadata: Message | None = None,
        skipped_connection: str | None = None,
    ) -> tuple[RunRecord, ReplayBuffer]:
        """Starts a run for these messages. While the session is busy, it queues them and returns the current run.

        `metadata` is that of the request. `skipped_connection` is the `/events` connection that gets no copy.
        """
        session = self.sessions.open(session_id)
        run = session.run
        if run:
            session.waiting.append((session_id, messages))
        else:
            run = self._start(session, self._new_run(session, session_id, messages, metadata, skipped_connection))
        return run.record, run.replay

    def abort(self, session_id: Any) -> bool:
        """Stops the run of a session and keeps the session; False if there is no such session."""
        session = self.sessions.find(session_id)
        if session and session.run:
            session.run.abort()
            self.notifier.notify()
        return session is not None

    def restart(self) -> None:
        """Acts like a gateway that was stopped and started: drops all sessions and all open streams."""
        for session in self.sessions:
            if session.run:
                session.run.put(DropConnection())
        for task in self._tasks:
            task.cancel()
        self.sessions.clear()
        for subscriber in self.subscribers.values():
            subscriber.frames.put_nowait(None)
        self.notifier.notify()

    def close(self, session_id: Any) -> bool:
        """Removes a session and stops its run; False if there is no such session."""
        session = self.sessions.find(session_id)
        if session:
            self.sessions.close(session)
            self.notifier.notify()
        return session is not None

    def confirm(self, session_id: Any, call_id: str, confirmed: bool) -> bool:
        session = self.sessions.find(session_id)
        return bool(session and session.run and session.run.confirm(call_id, confirmed))

    async def shut_down(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, session: Session, run: Run) -> Run:
        session.run = run
        task = asyncio.create_task(self._run_in_background(session, run), name=f"run of {session.key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.notifier.notify()
        return run

    async def _run_in_background(self, session: Session, run: Run) -> None:
        """Executes the run, then starts a run for the first queued send; no `/send` response carries its frames."""
        following = None
        try:
            self.runs.end(run.record, await self._execute(run))
            if run.record.status == "finished":
                session.timeline.extend(run.execution.entries)
            following = self._new_run(session, *session.waiting.pop(0)) if session.waiting else None
            run.close(following)
        finally:
            session.run = None
            run.replay.close()
            self.notifier.notify()
        if following:
            self._start(session, following)

    async def _execute(self, run: Run) -> RunStatus:
        try:
            return await run.run_to_end()
        except asyncio.CancelledError:
            self.runs.end(run.record, "aborted")
            raise

    def _new_run(
        self,
        session: Session,
        session_id: str,
        messages: Sequence[Message],
        metadata: Message | None = None,
        skipped_connection: str | None = None,
    ) -> Run:
        stored = [self._stored_message(message) for message in messages if isinstance(message.get("content"), list)]
        prompt = read_prompt(*stored, metadata=metadata)
        script = self._script(session, prompt)
        frames = FrameFactory(session_id, self.stamps.new_id(), self.stamps, session.sequence)
        context = RunContext(session.agent, session.agent.tools + prompt.tools, session.timeline)
        ticks = Script(()) if isinstance(script, RawScript) else script
        record = self._new_record(session, session_id, messages, metadata, isinstance(script, RawScript))
        return Run(
            record,
            Execution(ticks, frames, context, stored),
            ReplayBuffer(self.settings.corrupt_joined),
            lambda frame: self._publish(session.key, frame, skipped_connection),
            self.settings.pace,
            script if isinstance(script, RawScript) else None,
            self.settings.sends_synthetic_end,
        )

    def _stored_message(self, message: Message) -> Message:
        """The message as the conversation stores it."""
        blocks = [block for block in message["content"] if isinstance(block, dict)]
        return {**message, "content": blocks, "id": message.get("id") or self.stamps.new_id()}

    def _new_record(
        self, session: Session, session_id: str, messages: Sequence[Message], metadata: Message | None, is_raw: bool
    ) -> RunRecord:
        last = messages[-1] if messages else {}
        about = {**(metadata or {}), **(last.get("metadata") or {})}
        record = RunRecord(session.key, session_id, last.get("content"), about, tuple(messages), is_raw)
        self.runs.add(record)
        return record

    def _script(self, session: Session, prompt: Prompt) -> Script | RawScript:
        recorded = self.settings.recordings.get(prompt.last)
        if recorded is None:
            return script_for(session.agent, prompt, lambda: uuid.uuid4().hex[:CALL_ID_LENGTH])
        return raw_script(recorded) if isinstance(recorded, bytes) else recorded

    def _publish(self, key: str, frame: bytes, skipped_connection: str | None) -> None:
        for subscriber in self.subscribers.values():
            if key in subscriber.keys and skipped_connection not in (
                subscriber.id,
                subscriber.client_id or subscriber.id,
            ):
                subscriber.frames.put_nowait(frame)
