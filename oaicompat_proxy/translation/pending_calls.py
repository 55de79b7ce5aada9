"""The agent's own tool calls until they can be shown.

Arguments wait for the result of their call, a placeholder for the next tick, which shows that no client gives a result.
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

    def add_arguments(self, call_id: str, piece: str) -> None:
        known = self._arguments.get(call_id, "")
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
        """The kept placeholders as results: the client does not get their calls."""
        placeholders, self._placeholders = self._placeholders, []
        return [shown for event in placeholders for shown in self._show_call(event)]

    @abstractmethod
    def _show(self, event: ToolFinished, arguments: str) -> list[Shown]:
        """`arguments`: of the call; empty if they are not known."""

    def _show_call(self, event: ToolFinished) -> list[Shown]:
        return self._show(event, self._arguments.pop(event.call_id, ""))

    def _keep(self, call_id: str, arguments: str) -> None:
        self._arguments[call_id] = arguments[: self._max_text]
        if len(self._arguments) > MAX_CALLS:
            del self._arguments[next(iter(self._arguments))]
