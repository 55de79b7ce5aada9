"""The states of a run, from its call to its end. Pure."""

from __future__ import annotations

from enum import Enum, auto


class RunState(Enum):
    """How far a run has come."""

    NOT_SENT = auto()
    """The gateway cannot have received the call."""
    SENT = auto()
    """The gateway may have received the call, and has not answered it."""
    REJECTED = auto()
    """The gateway has answered the call, but not with an event stream."""
    ACCEPTED = auto()
    """The gateway has answered with the run's event stream."""
    WAITING = auto()
    """The run waits for a confirmation, for which the client was asked. Seen by the lease, not by the run."""
    FINISHED = auto()
    """The agent's last event has been read."""
    SUCCEEDED = auto()
    """FINISHED with a complete answer, so the session's history has one more turn. Seen by the lease, too."""
