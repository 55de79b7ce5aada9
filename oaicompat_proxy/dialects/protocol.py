"""What the web rooms ask of a dialect, so that they know none of them.

Some dialects are spoken by a gateway: it hosts several apps, keeps sessions that must be closed, and takes calls
while a run goes on. Others by an agent itself: one address, one call a run, and nothing left when it is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from ..core.events import Event
from ..core.recorded_fields import RecordedFields
from ..core.turn import Turn


class Call(NamedTuple):
    """A POST to the agent's side: `path` below the base address, or a whole URL; `body` as JSON."""

    path: str
    body: bytes


class App(NamedTuple):
    """An agent that a gateway hosts."""

    id: str
    is_default: bool = False


class SessionStatus(NamedTuple):
    """What a gateway says of a session."""

    exists: bool
    active: bool
    """A run goes on in it."""


class Reader(Protocol):
    """Reads one run: `feed()` bytes as they come, take the events that they complete; `settle()` at their end."""

    @property
    def over(self) -> bool:
        """The agent has said its last word."""
        ...

    @property
    def execution_id(self) -> str:
        """The agent's own name for the run; empty as long as it has not told, or has none."""
        ...

    def feed(self, data: bytes) -> Iterable[Event]:
        """The events that end within `data`.

        Raises UpstreamError for a frame that cannot be understood or is too long, after the events before it.
        """
        ...

    @property
    def wait(self) -> float | None:
        """Seconds from now on after which what was said counts, should no more come that changes it. None: it does
        not count before the agent says so."""
        ...

    @property
    def waits(self) -> int:
        """Goes up when such a wait begins anew."""
        ...

    def settle(self, *, at_end: bool) -> Iterable[Event]:
        """The events that were held until nothing could change them. `at_end`: the stream has ended,
        else `wait` is over."""
        ...


class EndsItself:
    """A reader whose agent's last word counts at once, whatever the stream does."""

    wait: float | None = None
    waits = 0

    def settle(self, *, at_end: bool) -> Iterable[Event]:
        return []


class Gateway(Protocol):
    """Calls that only a gateway takes, and what its short answers say."""

    def build_apps(self) -> Call: ...

    def parse_apps(self, body: bytes) -> list[App] | None: ...

    def parse_available(self, message: str) -> list[App] | None: ...

    def is_app_id(self, name: str) -> bool: ...

    def build_close(self, key: str) -> Call: ...

    def build_invoke_close(self, key: str) -> Call: ...

    def build_status(self, key: str) -> Call: ...

    def parse_status(self, status: int, body: bytes) -> SessionStatus | None: ...

    def build_abort(self, key: str) -> Call: ...

    def refuses_abort(self, status: int, body: bytes) -> bool: ...

    def means_unknown_app(self, body: bytes) -> bool: ...

    def is_unknown_method(self, status: int, body: bytes) -> bool: ...

    def build_confirmation(self, key: str, call_id: str, *, confirmed: bool, reason: str = "") -> Call: ...

    def first_sequence(self, frame: bytes) -> int | None:
        """1 where a run is the first of its session; None where the frame, a run's first, does not tell."""
        ...

    def build_empty_send(self) -> Call:
        """A call that begins no run: its refusal shows how runs are called."""
        ...

    def takes_messages(self, status: int, body: bytes) -> bool | None:
        """Whether an answer to it says that all messages of a call are read; None where it does not tell."""
        ...

    def model_signs(self) -> Mapping[bytes, bool]:
        """What a run's stream holds as soon as the model has been given its messages, and not before; False for what
        says that the model was not asked at all.
        """
        ...

    def events_path(self, client_id: str) -> str: ...

    def build_subscribe(self, client_id: str, connection_id: str, key: str) -> Call: ...


class Dialect(Protocol):
    headers: Mapping[str, str]
    """Of every call, beside those that all dialects share."""
    gateway: Gateway | None
    """None: what is called is the agent itself. A dropped connection ends its run, and there is nothing to close."""
    in_messages: bool
    """It takes a conversation message by message, and the client's tools with it."""
    recorded_fields: RecordedFields
    """What a masked recording shows of its events."""

    def session_key(self, app: str, name: str) -> str:
        """What addresses session `name` of `app`."""
        ...

    def native_key(self, app: str, name: str) -> str:
        """The key of a session that was not named by us: `name` may choose an app by itself."""
        ...

    def chosen_app(self, name: str) -> str:
        """The app that such a name chooses; empty if it leaves that to the model."""
        ...

    def build_run(self, turn: Turn, *, app: str, key: str, run_id: str) -> Call:
        """`key`: of the session. `run_id`: of this run, never used before."""
        ...

    def new_reader(self, *, max_frame: int, with_deeds: bool, resumed: bool = False, run_id: str = "") -> Reader:
        """`max_frame`: bytes of the largest frame that may have to be decoded. `with_deeds`: also what the agent's
        own tools and children did. `resumed`: joins a gateway's events in mid-run. `run_id`: what the call named the
        run; empty if that is not known."""
        ...

    def find_run_id(self, stream: bytes) -> str:
        """What the call had named the run that this is the whole stream of; empty if it does not tell."""
        ...

    def recognizes(self, head: bytes) -> bool:
        """Whether an event that begins like this is one of the dialect's."""
        ...
