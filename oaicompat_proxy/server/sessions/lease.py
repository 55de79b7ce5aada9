"""The request for a session, and the lease of the session that a request gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from ...core.caller import Caller
from ...core.errors import SessionLockLost
from ...core.message import Message
from ..random_ids import new_secret
from ..upstream.gateway_client import Upstream
from ..upstream.run import Run
from ..upstream.run_state import RunState
from .after_request import LeaseKind
from .locks import ReleaseLock
from .run_limiter import RunPermit


@dataclass(slots=True)
class SessionRequest:
    """The facts that decide which session a request gets."""

    app: str
    caller: Caller
    """Sessions of different callers are never the same."""
    model: str
    messages: Sequence[Message]
    name: str = ""
    """The client's own name for its session, if any."""
    key: str = ""
    """The key of the session that waits for this request, or that the client named by the gateway's own key."""
    native: bool = False
    """The key is from the client. Another front end may use the session, so the proxy never closes it."""
    continues: str = ""
    """The id of the answer that the request continues; empty if it names none, or sends the conversation itself."""
    point: str = ""
    """The id of the answer that is made, if later requests may continue it."""
    token_point: str = ""
    """The id of the answer in the client's session token."""
    by_token: bool = False
    """Later requests name the answer by a token, and have to send the same messages."""
    instructions: str = ""
    """Instructions for this request alone. A session with other instructions is not continued."""
    keeps_threads: bool = False
    """The agent has no gateway and remembers its threads itself (AG-UI with `history = last`)."""
    size: int = 0
    """Bytes of the request's body, which stays in memory while the request waits."""
    on_wait: Callable[[str], None] | None = None
    """Called with what the request waits for: its `session`, or a free `run`."""


class AnswerProgress(Protocol):
    """The progress of a run's answer."""

    @property
    def ended(self) -> bool:
        """The answer is complete."""

    @property
    def waits_for_client(self) -> bool:
        """The answer ended with a question, and the run waits for the client's reply."""

    @property
    def denied_call(self) -> str | None:
        """The agent's call whose confirmation is to be denied."""


class Lease:
    """A request's exclusive use of a session, as a context manager. At its exit the session is finalized."""

    exact = True
    """The conversation that the session has answered is known. False only for a primary session with other messages."""
    first = False
    """The run is the first one in a primary session, as far as known."""
    native = False
    """The proxy never closes the session."""
    replaced = False
    """This session replaces one that the gateway had lost, or whose run was stopped; the conversation is sent again."""
    lock_lost = False
    """Another run may have the session's lock, so this run has to stop."""
    permit: RunPermit | None = None
    run: Run | None = None
    matched_fingerprint: str | None = None
    """The fingerprint by which the session was found."""
    stored_fingerprint: str | None = None
    """The fingerprint by which later requests find the session."""
    answer: AnswerProgress | None = None
    """The answer of the run, until the exit."""
    delivered = False
    """The complete answer was sent; so if the run still goes on, its client has not abandoned it."""
    awaits_client = False
    """The run waits for the client's next request."""
    succeeded = False
    """The answer of the run is complete, so the session's history has one more turn."""
    owner_mark: str = ""
    """The mark of the caller, for a primary session."""
    pending_denial: str | None = None
    """The agent's call whose confirmation is to be denied."""

    def __init__(
        self,
        app: str,
        key: str,
        upstream: Upstream,
        history: str,
        *,
        persistent: bool = False,
        named: bool = False,
        primary: bool = False,
    ) -> None:
        """`upstream`: the gateway, called with this caller's credentials. `named`: the client has named its session.
        `primary`: the session's key is derived from that name.
        """
        self.app = app
        self.key = key
        self.upstream = upstream
        self.history: str = history
        """Which messages of the conversation the agent needs."""
        self.named = named
        self.primary = primary
        self.persistent = persistent
        """Later requests continue in the session."""
        # state
        self.on_exit: Callable[[Lease], None] | None = None
        self._release_lock: ReleaseLock | None = None

    @property
    def kind(self) -> LeaseKind:
        if self.persistent:
            return "persistent"
        if self.upstream.dialect.gateway is None:
            return "without_gateway"
        return "temporary" if self.matched_fingerprint is None else "continued"

    @property
    def run_state(self) -> RunState:
        """The state of the run, and of the answer that was made of it."""
        state = "not_sent" if self.run is None else self.run.state
        if state == "accepted" and self.awaits_client:
            return "waiting"
        if state == "finished" and self.succeeded:
            return "succeeded"
        return state

    @property
    def started_run(self) -> Run:
        assert self.run is not None
        return self.run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        answer, self.answer = self.answer, None  # frees its text: finalizing may take an hour
        if answer is not None:
            self.succeeded, self.pending_denial = answer.ended, answer.denied_call
        if self.on_exit is not None:
            self.on_exit(self)

    def session_of_run(self) -> tuple[str, bool]:
        """The current key of the run's session, and whether later requests continue in it."""
        return self.key, self.persistent

    def mark_delivered(self) -> None:
        """Called when the complete answer is sent to the client."""
        self.delivered = True
        self.awaits_client = self.answer is not None and self.answer.waits_for_client

    def on_lock_lost(self) -> None:
        """Stops the run, or prevents it from starting."""
        self.lock_lost = True
        if self.run is not None:
            self.run.abort(
                SessionLockLost(
                    "This run was stopped, because its session's lock in Redis was lost; send the request again."
                )
            )

    def release_permit(self) -> None:
        if self.permit is not None:
            self.permit.release()

    @property
    def locked(self) -> bool:
        return self._release_lock is not None

    def hold_lock(self, release: ReleaseLock) -> None:
        self._release_lock = release

    def detach_lock(self) -> ReleaseLock | None:
        """Hands over the function that releases the session's lock: from now on the caller has to release it."""
        release, self._release_lock = self._release_lock, None
        return release

    async def release_lock(self) -> None:
        """Releases the session's lock. Idempotent."""
        release = self.detach_lock()
        if release is not None:
            await release()


def new_session_name() -> str:
    """A unique session name that cannot be guessed."""
    return f"oc-{new_secret()}"
