"""The states of a run, from its call to its end. Pure."""

from __future__ import annotations

from typing import Literal

RunState = Literal["not_sent", "sent", "rejected", "accepted", "waiting", "finished", "succeeded"]
"""How far a run has come.

- `not_sent`: the gateway cannot have received the call.
- `sent`: the gateway may have received the call, and has not answered it.
- `rejected`: the gateway has answered the call, but not with an event stream.
- `accepted`: the gateway has answered with the run's event stream.
- `waiting`: the run waits for a confirmation by the client. Known to the lease, not to the run.
- `finished`: the agent's last event has been read.
- `succeeded`: the same with a complete answer, so the session's history has one more turn. Known to the lease, too.

Words, not an Enum: before Python 3.12 each mention of a member and each look-up by one takes a thousand instructions,
in all 2 % of a request.
"""
