"""The agent's own tool calls and sub-agents as lines that a person can read (setting `server_tools`).

    ⟦tool⟧ add {"a":19,"b":23} → 42 (0.2 s)
    ⟦tool⟧ fetch {"url":"http://…"} ✗ connection refused
    ⟦child⟧ researcher → Found three papers.

Each line begins with a mark. Clients send the lines back as part of an earlier answer's text. They are removed there:
otherwise the model would learn to write such lines itself.
"""

from __future__ import annotations

import re

from ..core.events import SubagentFinished, ToolFinished
from .pending_calls import PendingCalls

TOOL_MARK = "⟦tool⟧"
SUBAGENT_MARK = "⟦child⟧"

MAX_PART = 200
"""Characters of arguments, and of a result, that a line shows."""

MAX_READ = 2000
"""Characters of a text that are read to make its part of a line."""

_LINES = re.compile(rf"^(?:{TOOL_MARK}|{SUBAGENT_MARK}) [^\n]*(?:\n+|\Z)", re.MULTILINE)


class Narrator(PendingCalls[str]):
    """Describes each call with its result in a line."""

    def __init__(self) -> None:
        super().__init__(MAX_READ)

    def _show(self, event: ToolFinished, arguments: str) -> list[str]:
        sign = "✗" if event.is_error else "→"
        duration = f"({event.seconds:.1f} s)" if event.seconds is not None else ""
        return [_join(TOOL_MARK, event.name, arguments, sign, event.result, duration)]


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
