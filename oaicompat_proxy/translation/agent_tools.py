"""Shows the tools that the agent runs itself (decision D16): as lines of text, or as parts of the answer.

A call is shown together with its result: until then, a call may still turn out to be the client's.
"""

from __future__ import annotations

import json
from typing import Protocol

from ..core.answer import AgentToolCalled, AgentToolReturned, Part
from ..core.events import SubagentFinished, ToolFinished
from .answer_text import AnswerText
from .narration import Narrator, describe_subagent
from .pending_calls import PendingCalls


class AgentTools(Protocol):
    """Methods return the parts to send now; `PendingCalls` documents all but the last."""

    def add_arguments(self, call_id: str, piece: str) -> None: ...

    def add_call(self, call_id: str, arguments: str) -> None: ...

    def on_tool_finished(self, event: ToolFinished) -> list[Part]: ...

    def release_placeholders(self) -> list[Part]: ...

    def on_subagent_finished(self, event: SubagentFinished) -> list[Part]: ...


def new_agent_tools(server_tools: str, text: AnswerText, max_output: int) -> AgentTools | None:
    """`server_tools`: `hide`, `reasoning`, `content` or `items`. `text`: gets the lines of narration."""
    if server_tools == "hide":
        return None
    if server_tools == "items":
        return ToolItems(max_output)
    return NarratedTools(text, in_content=server_tools == "content")


class NarratedTools:
    """Shows the agent's tools as lines of text or reasoning."""

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


class ToolItems(PendingCalls[Part]):
    """Shows the agent's tools as AgentToolCalled and AgentToolReturned."""

    def __init__(self, max_output: int) -> None:
        """`max_output`: characters of a result, and of a call's arguments."""
        super().__init__(max_output + 1)  # one more character shows that a text is longer than max_output
        self._max_output = max_output
        # state
        self._subagents = 0

    def on_subagent_finished(self, event: SubagentFinished) -> list[Part]:
        self._subagents += 1
        return self._pair(f"subagent {self._subagents}", event.name, "{}", event.output, event.is_error)

    def _show(self, event: ToolFinished, arguments: str) -> list[Part]:
        if len(arguments) > self._max_output:
            arguments = json.dumps({"truncated": arguments[: self._max_output]}, ensure_ascii=False)
        return self._pair(event.call_id, event.name, arguments or "{}", event.result, event.is_error)

    def _pair(self, call_id: str, name: str, arguments: str, result: str, is_error: bool) -> list[Part]:
        shown, truncated = result[: self._max_output], len(result) > self._max_output
        if is_error:
            returned = AgentToolReturned(call_id, "", shown or "The tool failed.", truncated)
        else:
            returned = AgentToolReturned(call_id, shown, None, truncated)
        return [AgentToolCalled(call_id, name, arguments), returned]
