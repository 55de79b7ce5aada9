"""The lease of a request that continues a waiting run. The request that began the run still leases the session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from ..upstream.continued_run import ContinuedRun
from ..upstream.gateway_client import Upstream
from .lease import AnswerProgress, Lease
from .run_limiter import RunPermit


class ContinuedLease:
    """The use of the rest of a run by a request, as a context manager. Its exit stops a run that still goes on."""

    answer: AnswerProgress | None = None
    """Set before the run is opened."""

    def __init__(
        self,
        run: ContinuedRun,
        key: str,
        upstream: Upstream,
        permit: RunPermit,
        session: Lease | None,
        on_exit: Callable[[ContinuedLease], None],
    ) -> None:
        """`key`: of the run's session. `session`: the lease of the session under the client's name, if it has answered
        exactly the conversation of the request.
        """
        self.run = run
        self.key = key
        self.upstream = upstream
        self.permit = permit
        self.session = session
        self._on_exit = on_exit

    @property
    def orphaned(self) -> bool:
        """The run goes on or waits without a client, in a session that no later request needs."""
        state = self.run.state
        return state == "rejected" or (state == "accepted" and not self.run.in_persistent_session)

    @property
    def abandoned(self) -> bool:
        """The run goes on, and the client disconnected before the answer was complete."""
        return self.run.state == "accepted" and not (self.answer is not None and self.answer.ended)

    @property
    def awaits_client(self) -> bool:
        """The run waits for the client's next request."""
        return self.answer is not None and self.answer.waits_for_client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.permit.release()
        self.run.abort()
        self._on_exit(self)
