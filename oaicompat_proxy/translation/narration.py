"""What the agent did by itself, as lines that a person can read (setting `server_tools`).

    ⟦tool⟧ add {"a":19,"b":23} → 42 (0.2 s)
    ⟦tool⟧ fetch {"url":"http://…"} ✗ connection refused
    ⟦child⟧ researcher → Found three papers.

A line begins with a mark. When the lines were part of an answer's content they come back in the client's
history, and are removed from it there, so that the model never learns to write them itself.
"""

from __future__ import annotations

import re

from ..core.events import SubagentFinished, ToolFinished

TOOL = "⟦tool⟧"
CHILD = "⟦child⟧"

LONGEST_PART = 200
"""Characters of arguments, and of a result, that a line shows."""

KEPT_PART = 2000
"""Characters of a text from which its line is made; what stands behind them is not looked at."""

MOST_KEPT = 1000
"""Calls whose arguments are kept, and placeholders, until the result is there; of those before them nothing is."""

_LINES = re.compile(rf"^(?:{TOOL}|{CHILD}) [^\n]*(?:\n+|\Z)", re.MULTILINE)


class Narrator:
    """Remembers what was called with what until the result is there."""

    def __init__(self) -> None:
        self._arguments: dict[str, str] = {}
        self._placeholders: list[ToolFinished] = []
        """Of calls that may still be handed out, and then are not told."""

    def note_arguments(self, call_id: str, piece: str) -> None:
        known = self._arguments.get(call_id, "")
        if len(known) < KEPT_PART:
            self._keep(call_id, known + piece)

    def note_call(self, call_id: str, arguments: str) -> None:
        self._keep(call_id, arguments)

    def _keep(self, call_id: str, arguments: str) -> None:
        self._arguments[call_id] = arguments[:KEPT_PART]
        if len(self._arguments) > MOST_KEPT:
            del self._arguments[next(iter(self._arguments))]

    def tell_tool(self, event: ToolFinished) -> list[str]:
        """The line of a result; none yet for a placeholder, whose call may still be the client's."""
        if event.is_placeholder:
            if len(self._placeholders) < MOST_KEPT:
                self._placeholders.append(event._replace(result=event.result[:KEPT_PART]))
            return []
        return [self._line_of(event)]

    def tell_placeholders(self) -> list[str]:
        """The lines of those that were the last word about their calls."""
        placeholders, self._placeholders = self._placeholders, []
        return [self._line_of(event) for event in placeholders]

    def _line_of(self, event: ToolFinished) -> str:
        arguments = self._arguments.pop(event.call_id, "")
        sign = "✗" if event.is_error else "→"
        took = f"({event.seconds:.1f} s)" if event.seconds is not None else ""
        return _join(TOOL, event.name, arguments, sign, event.result, took)


def tell_child(event: SubagentFinished) -> str:
    sign = "✗" if event.is_error else "→"
    return _join(CHILD, event.name, sign, event.output)


def remove(text: str) -> str:
    """The text of an answer without the lines that told what the agent did."""
    if TOOL not in text and CHILD not in text:
        return text
    told = _LINES.sub("", text)
    return told if told == text else told.rstrip("\n")


def _join(*parts: str) -> str:
    return " ".join(_shorten(part) for part in parts if part)


def _shorten(part: str) -> str:
    line = " ".join(part[:KEPT_PART].split())
    return line if len(line) <= LONGEST_PART else line[:LONGEST_PART] + "…"
