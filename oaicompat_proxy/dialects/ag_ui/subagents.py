"""The running sub-agents of a run, and what is shown of one that ends.

Source: AG-UI 1.0, `SUBAGENT_STARTED`, `SUBAGENT_FINISHED` and `SUBAGENT_ERROR`.
"""

from __future__ import annotations

from ...core.errors import UpstreamError
from ...core.events import Event, SubagentFinished
from .fields import Data, plain_text
from .limits import SizeLimit

MAX_SUBAGENTS = 1024 * 1024
"""Characters of the ids and names of all running sub-agents, at most."""


class Subagents:
    """State of the running sub-agents. Methods return neutral events."""

    def __init__(self, *, are_shown: bool) -> None:
        """`are_shown`: the sub-agents of the agent itself have a line in the answer when they end."""
        self._are_shown = are_shown
        self._limit = SizeLimit(MAX_SUBAGENTS, "running sub-agents")
        # state
        self._running: dict[str, str] = {}
        """Names by ids; empty for those that are not shown."""

    @property
    def are_running(self) -> bool:
        return bool(self._running)

    def start(self, data: Data, subagent_id: str) -> list[Event]:
        name = data["name"] if self._are_shown and not data.get("parentSubagentRunId") else ""
        if subagent_id not in self._running:
            self._limit.add(subagent_id + name)
            self._running[subagent_id] = name
        return []

    def end(self, data: Data, subagent_id: str) -> list[Event]:
        name, outcome = self._remove(subagent_id), data.get("outcome")
        is_shown = name and (outcome is None or outcome["type"] != "suspended")
        return [SubagentFinished(name, plain_text(data.get("result")), False)] if is_shown else []

    def fail(self, data: Data, subagent_id: str) -> list[Event]:
        return [SubagentFinished(name, data["message"], True)] if (name := self._remove(subagent_id)) else []

    def _remove(self, subagent_id: str) -> str:
        if subagent_id not in self._running:
            raise UpstreamError("The agent sent the end of a sub-agent without its beginning.")
        name = self._running.pop(subagent_id)
        self._limit.remove(subagent_id + name)
        return name
