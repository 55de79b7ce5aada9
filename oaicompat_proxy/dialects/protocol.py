"""The interface of a dialect, which is one protocol of agents.

Some dialects are spoken by a gateway: it hosts several apps, keeps sessions that must be closed, and accepts other
requests during a run. Others are spoken by an agent itself: one address, one request for each run, no state afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from ..core.events import Event
from ..core.immutable import readonly
from ..core.model_info import UNKNOWN, ModelInfo
from ..core.recorded_fields import RecordedFields
from ..core.turn import Turn


@readonly
class HttpCall:
    """A POST request to the gateway or agent: `path` below the base address, or a whole URL; `body` is JSON."""

    path: str
    body: bytes


class App(NamedTuple):
    """An agent that a gateway hosts."""

    id: str
    is_default: bool = False
    info: ModelInfo = UNKNOWN
    """The gateway's description of the app."""


class SessionStatus(NamedTuple):
    """A gateway's report about a session."""

    exists: bool
    is_running: bool
    """Whether a run of the session is active."""


class Reader(Protocol):
    """Reads one run. `feed()` returns the events that each read completes; `flush()` returns buffered events."""

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        ...

    @property
    def execution_id(self) -> str:
        """The agent's id of the run; empty until it is known, or if there is none."""
        ...

    def feed(self, data: bytes) -> Iterable[Event]:
        """The events that end within `data`.

        Raises UpstreamError for a malformed or too long frame; a lazy iterator does so after the events before it.
        """
        ...

    def feed_chunks(self, chunks: list[bytes]) -> Iterable[Event]:
        """`feed` for bytes that came in these HTTP chunks, cut anywhere. The list is not kept."""
        ...

    @property
    def flush_delay(self) -> float | None:
        """Seconds of silence after which `flush` must be called; None if nothing is buffered."""
        ...

    @property
    def flush_count(self) -> int:
        """Increases each time that the wait of `flush_delay` begins again."""
        ...

    def flush(self, *, at_end: bool) -> Iterable[Event]:
        """The events that were buffered because later frames could change them.

        `at_end`: True after the end of the stream, False after `flush_delay` seconds of silence.
        """
        ...


class UnbufferedReader:
    """A reader that buffers no events."""

    flush_delay: float | None = None
    flush_count = 0

    def flush(self, *, at_end: bool) -> Iterable[Event]:
        return []


class GatewayMethods(Protocol):
    """Requests that only a gateway accepts, and the parsers of its responses."""

    def build_apps(self) -> HttpCall: ...

    def parse_apps(self, body: bytes) -> list[App] | None: ...

    def answers_apps(self, body: bytes) -> bool:
        """Whether the body of the response to `build_apps` is a gateway's, which may lack the method."""
        ...

    def parse_available(self, message: str) -> list[App] | None: ...

    def is_app_id(self, name: str) -> bool: ...

    def build_close(self, key: str) -> HttpCall: ...

    def build_invoke_close(self, key: str) -> HttpCall: ...

    def build_status(self, key: str) -> HttpCall: ...

    def parse_status(self, status: int, body: bytes) -> SessionStatus | None: ...

    def build_abort(self, key: str) -> HttpCall: ...

    def is_abort_refused(self, status: int, body: bytes) -> bool: ...

    def is_unknown_app(self, body: bytes) -> bool: ...

    def is_unknown_method(self, status: int, body: bytes) -> bool: ...

    def build_confirmation(self, key: str, call_id: str, *, confirmed: bool, reason: str = "") -> HttpCall: ...

    def first_sequence(self, frame: bytes) -> int | None:
        """The sequence number of a run's first frame: 1 if the run is the first of its session; None if unknown."""
        ...

    def build_empty_send(self) -> HttpCall:
        """A request that starts no run; the error shows which form of body the gateway expects."""
        ...

    def reads_all_messages(self, status: int, body: bytes) -> bool | None:
        """Whether the gateway reads all messages of a run's request, by its error about an empty one; None: unknown."""
        ...

    def parse_send_form(self, status: int, body: bytes) -> str:
        """The form of a run's request that the gateway expects, from that error; empty if unknown."""
        ...

    def model_markers(self) -> Mapping[bytes, bool]:
        """Bytes by which a run's stream shows that the model has received its messages (True) or never will (False)."""
        ...

    def events_path(self, client_id: str) -> str: ...

    def build_subscribe(self, client_id: str, connection_id: str, key: str) -> HttpCall: ...


class Dialect(Protocol):
    headers: Mapping[str, str]
    """Headers of every request, besides those that all dialects share."""
    gateway: GatewayMethods | None
    """None: requests go to the agent itself. Closing the connection then ends the run, and sessions need no closing."""
    takes_messages: bool
    """Whether a run's request carries a conversation message by message, and the client's tools."""
    recorded_fields: RecordedFields
    """The fields of the dialect's events that a masked recording shows."""
    child_starts: frozenset[bytes]
    """Names of the events that start a sub-agent or a branch, whose events are no part of the answer."""

    def session_key(self, app: str, name: str) -> str:
        """The key that addresses session `name` of `app`."""
        ...

    def native_key(self, app: str, name: str) -> str:
        """The key of a session that another front end has named. `name` may contain the app."""
        ...

    def chosen_app(self, name: str) -> str:
        """The app in a session name of another front end; empty if the request's model decides."""
        ...

    def build_run(self, turn: Turn, *, app: str, key: str, run_id: str, form: str = "") -> HttpCall:
        """The request that starts a run. `key`: of the session. `run_id`: a new id for the run.

        `form`: of `GatewayMethods.parse_send_form`; empty: one that every gateway reads.
        """
        ...

    def new_reader(
        self, *, max_frame: int, include_tool_activity: bool, resumed: bool = False, run_id: str = ""
    ) -> Reader:
        """`max_frame`: bytes of a frame that has to be decoded, at most. `include_tool_activity`: with the agent's own
        tools and child executions. `resumed`: the stream begins in the middle of a run. `run_id`: that of the request;
        empty if it is not known.
        """
        ...

    def find_run_id(self, stream: bytes) -> str:
        """The request's run id, found in the complete response `stream`; empty if unknown."""
        ...

    def recognizes(self, head: bytes) -> bool:
        """Whether these first bytes of an event's data look like this dialect."""
        ...
