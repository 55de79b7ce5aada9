"""The agent's own tool calls and sub-agents as lines that a person can read (setting `server_tools`).

    ⟦tool⟧ add {"a":19,"b":23} → 42 (0.2 s)
    ⟦tool⟧ fetch {"url":"http://…"} ✗ connection refused
    ⟦child⟧ researcher → Found three papers.

Each line begins with a mark. Lines that were part of an answer's content come back in the client's history, and are
removed from it there: otherwise the model would learn to write such lines itself.
"""

from __future__ import annotations

import re

from ..core.events import SubagentFinished, ToolFinished

TOOL_MARK = "⟦tool⟧"
SUBAGENT_MARK = "⟦child⟧"

MAX_PART = 200
"""Characters of arguments, and of a result, that a line shows."""

MAX_READ = 2000
"""Characters of a text from which its part of a line is made."""

MAX_CALLS = 1000
"""Calls whose arguments are kept until their result, and placeholders that are kept; more lose their arguments."""

_LINES = re.compile(rf"^(?:{TOOL_MARK}|{SUBAGENT_MARK}) [^\n]*(?:\n+|\Z)", re.MULTILINE)


class Narrator:
    """Keeps the arguments of calls until their results are there, and makes lines of both."""

    def __init__(self) -> None:
        self._arguments: dict[str, str] = {}
        self._placeholders: list[ToolFinished] = []
        """Results of calls that may still be the client's; those get no line."""

    def add_arguments(self, call_id: str, piece: str) -> None:
        known = self._arguments.get(call_id, "")
        if len(known) < MAX_READ:
            self._keep(call_id, known + piece)

    def add_call(self, call_id: str, arguments: str) -> None:
        """Replaces pieces by the whole arguments."""
        self._keep(call_id, arguments)

    def on_tool_finished(self, event: ToolFinished) -> list[str]:
        """The line of a result; none yet for a placeholder."""
        if event.is_placeholder:
            if len(self._placeholders) < MAX_CALLS:
                self._placeholders.append(event._replace(result=event.result[:MAX_READ]))
            return []
        return [self._describe(event)]

    def release_placeholders(self) -> list[str]:
        """The lines of placeholders that turned out to be final."""
        placeholders, self._placeholders = self._placeholders, []
        return [self._describe(event) for event in placeholders]

    def _keep(self, call_id: str, arguments: str) -> None:
        self._arguments[call_id] = arguments[:MAX_READ]
        if len(self._arguments) > MAX_CALLS:
            del self._arguments[next(iter(self._arguments))]

    def _describe(self, event: ToolFinished) -> str:
        arguments = self._arguments.pop(event.call_id, "")
        sign = "✗" if event.is_error else "→"
        duration = f"({event.seconds:.1f} s)" if event.seconds is not None else ""
        return _join(TOOL_MARK, event.name, arguments, sign, event.result, duration)


def describe_subagent(event: SubagentFinished) -> str:
    sign = "✗" if event.is_error else "→"
    return _join(SUBAGENT_MARK, event.name, sign, event.output)


def remove(text: str) -> str:
    """An answer's text without narration."""
    if TOOL_MARK not in text and SUBAGENT_MARK not in text:
        return text
    rest = _LINES.sub("", text)
    return rest if rest == text else rest.rstrip("\n")


def _join(*parts: str) -> str:
    return " ".join(_shorten(part) for part in parts if part)


def _shorten(part: str) -> str:
    line = " ".join(part[:MAX_READ].split())
    return line if len(line) <= MAX_PART else line[:MAX_PART] + "…"
