"""Features of a gateway, found by trying them, not from its version."""

from __future__ import annotations

import time

RETRY_AFTER = 600.0
"""Seconds after which a feature that was missing is tried again: the gateway may have been updated."""


class Feature:
    """Something that only some gateways can do."""

    def __init__(self) -> None:
        self._works: bool | None = None
        self._until = 0.0

    @property
    def works(self) -> bool | None:
        """Whether the feature works; None if it was not tried."""
        if self._works is False and time.monotonic() >= self._until:
            self._works = None
        return self._works

    def update(self, *, works: bool) -> None:
        self._works = works
        self._until = time.monotonic() + RETRY_AFTER


class SendForm:
    """The form of a run's request that a gateway reads."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._until = 0.0

    @property
    def name(self) -> str | None:
        """The result of `GatewayMethods.parse_send_form`; empty for no form, None if the gateway was not asked."""
        if self._name == "" and time.monotonic() >= self._until:
            self._name = None
        return self._name

    def update(self, name: str) -> None:
        self._name = name
        self._until = time.monotonic() + RETRY_AFTER

    def forget(self) -> None:
        """A run's request was rejected: another gateway may have taken the place of the one that was asked."""
        self._name = None


class GatewayFeatures:
    """The features of one gateway."""

    def __init__(self) -> None:
        self.abort = Feature()
        """`/abort` interrupts a run, and its session continues."""
        self.confirm = Feature()
        """A tool call that waits for approval can be confirmed or denied."""
        self.messages = Feature()
        """The agent receives all messages of a call, each in its role; else it receives one."""

        self.send_form = SendForm()

    def known(self) -> dict[str, bool]:
        """The features that were tried, by name, and whether each works."""
        tried = {"abort": self.abort.works, "confirm": self.confirm.works, "messages": self.messages.works}
        return {name: works for name, works in tried.items() if works is not None}
