"""Failures of runs whose clients name nothing: the same request right behind one is a retry of it. Pure."""

from __future__ import annotations

from collections import OrderedDict

from ...core.errors import ProxyError

LIFE = 30.0
"""Seconds: programs repeat a failed request within ten, people take longer to look into it."""

MOST = 1024
"""Failures that are kept; the oldest is dropped for a new one."""


class RecentFailures:
    """By caller and request. Times are those of one clock that only goes forward."""

    def __init__(self) -> None:
        # moving
        self._failures: OrderedDict[tuple[str, bytes], tuple[float, ProxyError]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def get(self, scope: str, fingerprint: bytes, now: float) -> ProxyError | None:
        until, failure = self._failures.get((scope, fingerprint), (now, None))
        return failure if now < until else None

    def add(self, scope: str, fingerprint: bytes, failure: ProxyError, now: float) -> None:
        self._failures[scope, fingerprint] = now + LIFE, failure
        self._failures.move_to_end((scope, fingerprint))
        while len(self._failures) > MOST or next(iter(self._failures.values()))[0] <= now:
            self._failures.popitem(last=False)
