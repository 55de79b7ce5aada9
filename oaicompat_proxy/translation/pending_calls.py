"""The agent's own tool calls until they can be shown.

Arguments wait for the result of their call, a placeholder for the next tick, which shows that no client gives a result.
A call may have two results in one tick: some gateways run a tool twice if the model's provider repeats its call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from ..core.events import ToolFinished

MAX_CALLS = 1000
"""Calls whose arguments are kept, and placeholders that are kept. Of more calls, the oldest lose their arguments."""

Shown = TypeVar("Shown")


class PendingCalls(ABC, Generic[Shown]):
    """Methods return the calls to show now, in the form of `_show`."""

    def __init__(self, max_text: int) -> None:
        """`max_text`: characters of a call's arguments, and of a placeholder, that are kept."""
        self._max_text = max_text
        # state
        self._arguments: dict[str, str] = {}
        self._placeholders: list[ToolFinished] = []
        """Placeholder results: their calls may still be the client's, and those are not shown."""
        self._shown: set[str] = set()
        """Ids of calls whose arguments were shown; they are kept until the tick ends."""

    def add_arguments(self, call_id: str, piece: str) -> None:
        known = "" if call_id in self._shown else self._arguments.get(call_id, "")
        if len(known) < self._max_text:
            self._keep(call_id, known + piece)

    def add_call(self, call_id: str, arguments: str) -> None:
        """Replaces the pieces by the whole arguments."""
        self._keep(call_id, arguments)

    def on_tool_finished(self, event: ToolFinished) -> list[Shown]:
        """The call and its result; nothing yet for a placeholder."""
        if not event.is_placeholder:
            return self._show_call(event)
        if len(self._placeholders) < MAX_CALLS:
            self._placeholders.append(event._replace(result=event.result[: self._max_text]))
        return []

    def release_placeholders(self) -> list[Shown]:
        """Ends a tick: the kept placeholders are results, because the client does not get their calls."""
        placeholders, self._placeholders = self._placeholders, []
        calls = [shown for event in placeholders for shown in self._show_call(event)]
        for call_id in self._shown:
            del self._arguments[call_id]
        self._shown.clear()
        return calls

    @abstractmethod
    def _show(self, event: ToolFinished, arguments: str) -> list[Shown]:
        """`arguments`: of the call; empty if they are not known."""

    def _show_call(self, event: ToolFinished) -> list[Shown]:
        call_id = event.call_id
        if call_id in self._arguments:
            self._shown.add(call_id)
        return self._show(event, self._arguments.get(call_id, ""))

    def _keep(self, call_id: str, arguments: str) -> None:
        self._arguments[call_id] = arguments[: self._max_text]
        self._shown.discard(call_id)
        if len(self._arguments) > MAX_CALLS:
            oldest = next(iter(self._arguments))
            del self._arguments[oldest]
            self._shown.discard(oldest)
