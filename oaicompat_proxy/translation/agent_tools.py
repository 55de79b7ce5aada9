"""The tools that the agent runs itself, as parts of the answer (decision D16): narrated in a text, or as they are.

A call is shown together with its result. Before that, a call of a tool that the client did not declare may still turn
out to be the client's.
"""

from __future__ import annotations

import json
from typing import Protocol

from ..core.answer import AgentToolCalled, AgentToolReturned, Part
from ..core.events import SubagentFinished, ToolFinished
from .answer_text import AnswerText
from .narration import Narrator, describe_subagent

MAX_CALLS = 1000
"""Calls without a result whose arguments are kept, and placeholders; arguments of more are not shown."""

MAX_OUTPUT = 16 * 1024
"""Characters of a result, by default."""


class AgentTools(Protocol):
    """Takes calls and results; methods that return parts return those to send now."""

    def add_arguments(self, call_id: str, piece: str) -> None: ...

    def add_call(self, call_id: str, arguments: str) -> None:
        """Replaces pieces by the whole arguments."""

    def on_tool_finished(self, event: ToolFinished) -> list[Part]:
        """None yet for a placeholder, whose call may still be the client's."""

    def release_placeholders(self) -> list[Part]:
        """Those that turned out to be final."""

    def on_subagent_finished(self, event: SubagentFinished) -> list[Part]: ...


def new_agent_tools(server_tools: str, text: AnswerText, max_output: int) -> AgentTools | None:
    """`server_tools`: `hide`, `reasoning`, `content` or `items`. `text`: where narration goes."""
    if server_tools == "hide":
        return None
    if server_tools == "items":
        return ToolItems(max_output)
    return NarratedTools(text, in_content=server_tools == "content")


class NarratedTools:
    """As lines of text or reasoning."""

    def __init__(self, text: AnswerText, *, in_content: bool) -> None:
        self._text = text
        self._in_content = in_content
        self._narrator = Narrator()
        self.add_arguments = self._narrator.add_arguments
        self.add_call = self._narrator.add_call

    def on_tool_finished(self, event: ToolFinished) -> list[Part]:
        return self._narrate(*self._narrator.on_tool_finished(event))

    def release_placeholders(self) -> list[Part]:
        return self._narrate(*self._narrator.release_placeholders())

    def on_subagent_finished(self, event: SubagentFinished) -> list[Part]:
        return self._narrate(describe_subagent(event))

    def _narrate(self, *lines: str) -> list[Part]:
        in_content = self._in_content
        return [part for line in lines for part in self._text.add_narration(line, in_content=in_content)]


class ToolItems:
    """As parts of their own. Keeps the arguments of calls until their results are there."""

    def __init__(self, max_output: int) -> None:
        """`max_output`: characters of a result, and of a call's arguments."""
        self._max_output = max_output
        # moving
        self._arguments: dict[str, str] = {}
        self._placeholders: list[ToolFinished] = []
        """Results of calls that may still be the client's."""
        self._subagents = 0

    def add_arguments(self, call_id: str, piece: str) -> None:
        known = self._arguments.get(call_id, "")
        if len(known) <= self._max_output:
            self._keep(call_id, known + piece)

    def add_call(self, call_id: str, arguments: str) -> None:
        self._keep(call_id, arguments)

    def on_tool_finished(self, event: ToolFinished) -> list[Part]:
        if not event.is_placeholder:
            return self._parts(event)
        if len(self._placeholders) < MAX_CALLS:
            self._placeholders.append(event._replace(result=event.result[: self._max_output + 1]))
        return []

    def release_placeholders(self) -> list[Part]:
        placeholders, self._placeholders = self._placeholders, []
        return [part for event in placeholders for part in self._parts(event)]

    def on_subagent_finished(self, event: SubagentFinished) -> list[Part]:
        self._subagents += 1
        return self._pair(f"subagent {self._subagents}", event.name, "{}", event.output, event.is_error)

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
