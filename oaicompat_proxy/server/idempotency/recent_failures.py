"""Stores failures of requests without a name: an equal request within LIFETIME counts as a retry. Pure."""

from __future__ import annotations

from collections import OrderedDict

from ...core.caller import Owner
from ...core.errors import ProxyError, without_trace

LIFETIME = 30.0
"""Seconds: programs repeat a failed request within ten, people take longer to look into it."""

MAX_FAILURES = 1024
"""Stored failures; a new one replaces the oldest."""


class RecentFailures:
    """Failures by caller and request. `now`: seconds of a monotonic clock."""

    def __init__(self) -> None:
        # state
        self._failures: OrderedDict[tuple[str, bytes], tuple[float, ProxyError]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def get(self, scope: str, fingerprint: bytes, now: float) -> ProxyError | None:
        """The failure, without a traceback of its last request."""
        until, failure = self._failures.get((scope, fingerprint), (now, None))
        return without_trace(failure) if failure is not None and now < until else None

    def remove(self, owner: Owner) -> None:
        for key in [key for key in self._failures if owner.has(key[0])]:
            del self._failures[key]

    def add(self, scope: str, fingerprint: bytes, failure: ProxyError, now: float) -> None:
        self._failures[scope, fingerprint] = now + LIFETIME, failure
        self._failures.move_to_end((scope, fingerprint))
        while len(self._failures) > MAX_FAILURES or next(iter(self._failures.values()))[0] <= now:
            self._failures.popitem(last=False)
