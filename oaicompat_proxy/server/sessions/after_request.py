"""What happens to a session and its run when the request that leased it is over (decision D9): the whole table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from ..upstream.run_state import RunState


class LeaseKind(Enum):
    """What the session is worth to later requests."""

    TEMPORARY = auto()
    """No later request continues in the session."""
    CONTINUED = auto()
    """The session was found by the fingerprint of its conversation, and is stored under none while it is leased."""
    PERSISTENT = auto()
    """Later requests continue in the session."""
    WITHOUT_GATEWAY = auto()
    """No gateway keeps the session: a run ends with its connection, and leaves nothing to close."""


class Action(Enum):
    """Every action ends with the release of the session's lock."""

    RELEASE = auto()
    """The session stays as it is."""
    RESTORE = auto()
    """The session is stored as it was before the request, so that the same conversation finds it again."""
    CLOSE = auto()
    """The session is closed."""
    CANCEL = auto()
    """The run's connection is dropped, and the session is closed, which stops the run."""
    CANCEL_ONCE_ANSWERED = auto()
    """CANCEL after the gateway has answered the call: a close that overtakes the call would close nothing."""
    ABORT = auto()
    """The gateway aborts the run, and the session is restored; CLOSE where the gateway cannot."""
    DRAIN = auto()
    """The run is read to its end; if the client has left, the gateway is asked to abort it first."""
    AWAIT_CLIENT = auto()
    """The run is read to its end, which comes after the client's next request."""


AFTER_REQUEST: Mapping[tuple[LeaseKind, RunState], Action] = {
    (LeaseKind.TEMPORARY, RunState.NOT_SENT): Action.RELEASE,
    (LeaseKind.TEMPORARY, RunState.SENT): Action.CANCEL_ONCE_ANSWERED,
    (LeaseKind.TEMPORARY, RunState.REJECTED): Action.CLOSE,
    (LeaseKind.TEMPORARY, RunState.ACCEPTED): Action.CANCEL,
    (LeaseKind.TEMPORARY, RunState.WAITING): Action.AWAIT_CLIENT,
    (LeaseKind.TEMPORARY, RunState.FINISHED): Action.CLOSE,
    (LeaseKind.TEMPORARY, RunState.SUCCEEDED): Action.CLOSE,
    #
    (LeaseKind.CONTINUED, RunState.NOT_SENT): Action.RESTORE,
    (LeaseKind.CONTINUED, RunState.SENT): Action.CANCEL_ONCE_ANSWERED,
    (LeaseKind.CONTINUED, RunState.REJECTED): Action.RESTORE,
    (LeaseKind.CONTINUED, RunState.ACCEPTED): Action.ABORT,
    (LeaseKind.CONTINUED, RunState.WAITING): Action.AWAIT_CLIENT,
    (LeaseKind.CONTINUED, RunState.FINISHED): Action.RESTORE,
    (LeaseKind.CONTINUED, RunState.SUCCEEDED): Action.CLOSE,  # it has one turn more than its client knows of
    #
    (LeaseKind.PERSISTENT, RunState.NOT_SENT): Action.RESTORE,
    (LeaseKind.PERSISTENT, RunState.SENT): Action.DRAIN,
    (LeaseKind.PERSISTENT, RunState.REJECTED): Action.RESTORE,
    (LeaseKind.PERSISTENT, RunState.ACCEPTED): Action.DRAIN,
    (LeaseKind.PERSISTENT, RunState.WAITING): Action.AWAIT_CLIENT,
    (LeaseKind.PERSISTENT, RunState.FINISHED): Action.RESTORE,
    (LeaseKind.PERSISTENT, RunState.SUCCEEDED): Action.RELEASE,
    #
    (LeaseKind.WITHOUT_GATEWAY, RunState.NOT_SENT): Action.RESTORE,
    (LeaseKind.WITHOUT_GATEWAY, RunState.SENT): Action.CANCEL,
    (LeaseKind.WITHOUT_GATEWAY, RunState.REJECTED): Action.RESTORE,
    (LeaseKind.WITHOUT_GATEWAY, RunState.ACCEPTED): Action.CANCEL,
    (LeaseKind.WITHOUT_GATEWAY, RunState.WAITING): Action.AWAIT_CLIENT,
    (LeaseKind.WITHOUT_GATEWAY, RunState.FINISHED): Action.RESTORE,
    (LeaseKind.WITHOUT_GATEWAY, RunState.SUCCEEDED): Action.RELEASE,
}

CANCELLED = {Action.CANCEL, Action.CANCEL_ONCE_ANSWERED, Action.ABORT}
"""Actions that stop a run before its end."""

KEEPS_PERMIT = {Action.ABORT, Action.DRAIN}
"""Actions in which the agent goes on working: the run counts until it ends."""
