"""The agent's own tool calls as parts of the answer, for APIs that show them as items (decision D16).

A call is sent together with its result: until the result is there, a call of an undeclared tool may still turn out to
be the client's.
"""

from __future__ import annotations

import json

from ..core.answer import AgentToolCalled, AgentToolReturned, Part
from ..core.events import ToolFinished

MAX_CALLS = 1000
"""Calls whose arguments are kept until their result, and placeholders that are kept; more lose their arguments."""


class AgentTools:
    """Keeps the arguments of calls until their results are there."""

    def __init__(self, max_output: int) -> None:
        """`max_output`: characters of a result, and of a call's arguments, that are shown."""
        self._max_output = max_output
        # moving
        self._arguments: dict[str, str] = {}
        self._placeholders: list[ToolFinished] = []
        """Results of calls that may still be the client's; those are not shown."""
        self._subagents = 0

    def add_arguments(self, call_id: str, piece: str) -> None:
        known = self._arguments.get(call_id, "")
        if len(known) <= self._max_output:
            self._keep(call_id, known + piece)

    def add_call(self, call_id: str, arguments: str) -> None:
        self._keep(call_id, arguments)

    def finish(self, event: ToolFinished) -> list[Part]:
        """The parts of a call with its result; none yet for a placeholder."""
        if not event.is_placeholder:
            return self._parts(event)
        if len(self._placeholders) < MAX_CALLS:
            self._placeholders.append(event._replace(result=event.result[: self._max_output + 1]))
        return []

    def finish_placeholders(self) -> list[Part]:
        """The parts of placeholders that turned out to be final."""
        placeholders, self._placeholders = self._placeholders, []
        return [part for event in placeholders for part in self._parts(event)]

    def finish_subagent(self, name: str, output: str, *, is_error: bool) -> list[Part]:
        self._subagents += 1
        return self._pair(f"subagent {self._subagents}", name, "{}", output, is_error)

    def _parts(self, event: ToolFinished) -> list[Part]:
        arguments = self._arguments.pop(event.call_id, "") or "{}"
        if len(arguments) > self._max_output:
            arguments = json.dumps({"truncated": arguments[: self._max_output]}, ensure_ascii=False)
        return self._pair(event.call_id, event.name, arguments, event.result, event.is_error)

    def _pair(self, call_id: str, name: str, arguments: str, result: str, is_error: bool) -> list[Part]:
        shown, truncated = result[: self._max_output], len(result) > self._max_output
        if is_error:
            returned = AgentToolReturned(call_id, "", shown or "The tool failed.", truncated)
        else:
            returned = AgentToolReturned(call_id, shown, None, truncated)
        return [AgentToolCalled(call_id, name, arguments), returned]

    def _keep(self, call_id: str, arguments: str) -> None:
        self._arguments[call_id] = arguments[: self._max_output + 1]
        if len(self._arguments) > MAX_CALLS:
            del self._arguments[next(iter(self._arguments))]
