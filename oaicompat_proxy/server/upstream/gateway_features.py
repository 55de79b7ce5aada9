"""What a gateway was found to be able to do, by trying it: never derived from its version."""

from __future__ import annotations

import time

TRY_AGAIN = 600.0
"""Seconds after which something that a gateway could not do is tried again: it may have been updated meanwhile."""


class Feature:
    """Something that some gateways do."""

    def __init__(self) -> None:
        self._works: bool | None = None
        self._until = 0.0

    @property
    def works(self) -> bool | None:
        """None as long as it was not tried."""
        if self._works is False and time.monotonic() >= self._until:
            self._works = None
        return self._works

    def note(self, *, works: bool) -> None:
        self._works = works
        self._until = time.monotonic() + TRY_AGAIN


class GatewayFeatures:
    """Of one gateway."""

    def __init__(self) -> None:
        self.abort = Feature()
        """`/abort` interrupts a run, and its session goes on."""
        self.confirm = Feature()
        """A tool that waits for a human can be answered."""
        self.messages = Feature()
        """All messages of a call are read, each in its role; else only one is."""

    def told(self) -> dict[str, bool]:
        """What is known so far, by name."""
        known = {"abort": self.abort.works, "confirm": self.confirm.works, "messages": self.messages.works}
        return {name: works for name, works in known.items() if works is not None}
