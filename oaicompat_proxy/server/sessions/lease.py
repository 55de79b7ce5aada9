"""What a request asks of its session, and its hold on the one it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.caller import Caller
from ...core.errors import SessionLockLost
from ...core.message import Message
from ..observability.run_report import RunReport
from ..random_ids import new_secret
from ..upstream.gateway_client import Upstream
from ..upstream.run import Run
from ..upstream.run_state import RunState
from .after_request import LeaseKind
from .locks import Release
from .run_limiter import RunPermit


@dataclass(slots=True)
class Wanted:
    """What a request says about its session."""

    app: str
    caller: Caller
    """Sessions of different callers are never the same."""
    model: str
    messages: Sequence[Message]
    name: str = ""
    """The client's own name for its session, if it gave one."""
    key: str = ""
    """The session itself, if the request goes on with what it waits for, or names one of the gateway's own."""
    native: bool = False
    """The key is the client's: somebody else may have begun the session, and it is never closed here."""
    keeps_threads: bool = False
    """The agent remembers what it was told, though it has no gateway (AG-UI with `history = last`)."""
    size: int = 0
    """Bytes of the request's body, which are held while it waits."""


class Lease:
    """One request's hold on a session of the gateway."""

    exact = True
    """It is known what the session has answered before; always so but in a name's own one."""
    first = False
    """As far as is known, this is the first run in the name's own session."""
    native = False
    """It is never closed here."""
    sent_again = False
    """The gateway had forgotten the session, so this is another."""
    release: Release | None = None
    lost = False
    """The session may be another run's, so none of this lease may go on in it."""
    permit: RunPermit | None = None
    run: Run | None = None
    recognised_by: str | None = None
    """The digest under which the session was found."""
    remembered_by: str | None = None
    """The digest under which it is found again."""
    parked = False
    """The run waits for the client's next request."""
    answered = False
    """The client has its whole answer, so a run that goes on was not left by its reader."""
    completed = False
    """The run has succeeded, so the session remembers this turn."""
    denied_call: str | None = None
    """The agent's call that waits for a confirmation, and gets none."""

    def __init__(
        self,
        app: str,
        key: str,
        upstream: Upstream,
        *,
        history: str,
        lasting: bool = False,
        named: bool = False,
        own: bool = False,
    ) -> None:
        """`upstream`: the gateway, as it is called for this caller. `named`: the client has named its session.
        `own`: it is the one whose key is made of that name.
        """
        self.app = app
        self.key = key
        self.upstream = upstream
        self.history: str = history
        """What the agent has to be told of the conversation."""
        self.named = named
        self.own = own
        self.keep = lasting
        """The session goes on after this request."""

    @property
    def kind(self) -> LeaseKind:
        if self.keep:
            return LeaseKind.PERSISTENT
        if self.upstream.dialect.gateway is None:
            return LeaseKind.WITHOUT_GATEWAY
        return LeaseKind.TEMPORARY if self.recognised_by is None else LeaseKind.CONTINUED

    @property
    def run_state(self) -> RunState:
        """The state of the run, and of the answer that was made of it."""
        state = RunState.NOT_SENT if self.run is None else self.run.state
        if state is RunState.ACCEPTED and self.parked:
            return RunState.WAITING
        if state is RunState.FINISHED and self.completed:
            return RunState.SUCCEEDED
        return state

    @property
    def started_run(self) -> Run:
        assert self.run is not None
        return self.run

    def follow(self, report: RunReport) -> None:
        """It is this request's turn; who traces it sees its run."""
        report.note_turn(self.key)
        if report.headers:
            self.upstream = self.upstream.observed(report.headers, report.watch)

    def lose(self) -> None:
        """Stops its run, or keeps it from beginning."""
        self.lost = True
        if self.run is not None:
            self.run.cut(SessionLockLost("This run was stopped: Redis no longer keeps others out of its session."))

    def release_permit(self) -> None:
        if self.permit is not None:
            self.permit.release()

    async def give_back(self) -> None:
        """Lets the next request into the session."""
        if self.release is not None:
            release, self.release = self.release, None
            await release()


def fresh_name() -> str:
    """A session name that nobody can guess, and that nobody else has."""
    return f"oc-{new_secret()}"
