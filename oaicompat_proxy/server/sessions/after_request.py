"""The table of actions on a session and its run after the request that leased it (decision D9)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Literal

from ..upstream.run_state import RunState

LeaseKind = Literal["temporary", "continued", "persistent", "without_gateway"]
"""Whether later requests can continue in the session.

- `temporary`: no later request continues in the session.
- `continued`: the session was found by the fingerprint of its conversation, and stored under none while leased.
- `persistent`: later requests continue in the session.
- `without_gateway`: no gateway keeps the session: a run ends with its connection, and leaves nothing to close.
"""

Action = Literal["release", "restore", "close", "cancel", "cancel_once_answered", "abort", "drain", "await_client"]
"""Every action ends with the release of the session's lock.

- `release`: the session stays as it is.
- `restore`: the session is stored as it was before the request, so that the same conversation finds it again.
- `close`: the session is closed.
- `cancel`: the run's connection is dropped, and the session is closed, which stops the run.
- `cancel_once_answered`: `cancel` after the gateway has answered the call: a close that overtakes the call would close
  nothing.
- `abort`: the gateway aborts the run, and the session is restored; `close` where the gateway cannot.
- `drain`: the run is read to its end; if the client has left, the gateway is asked to abort it first.
- `await_client`: the run is read to its end, which comes after the client's next request.
"""


AFTER_REQUEST: Mapping[tuple[LeaseKind, RunState], Action] = {
    ("temporary", "not_sent"): "release",
    ("temporary", "sent"): "cancel_once_answered",
    ("temporary", "rejected"): "close",
    ("temporary", "accepted"): "cancel",
    ("temporary", "waiting"): "await_client",
    ("temporary", "finished"): "close",
    ("temporary", "succeeded"): "close",
    #
    ("continued", "not_sent"): "restore",
    ("continued", "sent"): "cancel_once_answered",
    ("continued", "rejected"): "restore",
    ("continued", "accepted"): "abort",
    ("continued", "waiting"): "await_client",
    ("continued", "finished"): "restore",
    ("continued", "succeeded"): "close",  # it has one turn more than its client knows of
    #
    ("persistent", "not_sent"): "restore",
    ("persistent", "sent"): "drain",
    ("persistent", "rejected"): "restore",
    ("persistent", "accepted"): "drain",
    ("persistent", "waiting"): "await_client",
    ("persistent", "finished"): "restore",
    ("persistent", "succeeded"): "release",
    #
    ("without_gateway", "not_sent"): "restore",
    ("without_gateway", "sent"): "cancel",
    ("without_gateway", "rejected"): "restore",
    ("without_gateway", "accepted"): "cancel",
    ("without_gateway", "waiting"): "await_client",
    ("without_gateway", "finished"): "restore",
    ("without_gateway", "succeeded"): "release",
}

CANCELLED: Set[Action] = {"cancel", "cancel_once_answered", "abort"}
"""Actions that stop a run before its end."""

KEEPS_PERMIT: Set[Action] = {"abort", "drain"}
"""Actions in which the agent goes on working, so the run keeps its permit until it ends."""
