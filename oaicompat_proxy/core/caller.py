"""Who calls, and what this caller may do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. Limits of 0 are none."""

    name: str
    """For logs and metrics; empty for everybody together, where no keys are asked for."""
    scope: str
    """Sessions of different scopes are never the same."""
    requests_per_minute: int = 0
    max_runs: int = 0
    models: tuple[str, ...] = ()
    """Patterns of the models that may be used; empty for all."""
    native_sessions: bool = False
    """May name the gateway's own sessions, where the setting `session_names` allows it."""
    authorization: str | None = field(default=None, repr=False)
    """The client's own header, where it is passed on to the gateway; None where the gateway gets our token."""

    def may_use(self, model: str) -> bool:
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


ANYONE = Caller("", "")
"""Without any limit: for the proxy's own questions."""


def scope_of(authorization: str) -> str:
    """Who calls, from the `Authorization` header; without one, everybody is the same caller."""
    return _digest(authorization) if authorization else _EVERYBODY


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


_EVERYBODY = _digest("")
