"""The AG-UI dialect: an agent has an address of its own and takes one POST for each run.

An app is an agent's address: a whole URL, a path below the base address, or empty for the base address itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...core.turn import Turn
from ..protocol import GatewayMethods, HttpCall, Reader
from .event_names import name_of
from .reader import EventReader, find_last_run
from .recorded_fields import RECORDED_FIELDS
from .requests import build_run


class AgUi:
    headers: Mapping[str, str] = MappingProxyType({"Accept": "text/event-stream"})
    gateway: GatewayMethods | None = None
    takes_messages = True
    recorded_fields = RECORDED_FIELDS
    child_starts = frozenset({b"SUBAGENT_STARTED"})

    def session_key(self, app: str, name: str) -> str:
        """The thread id. Each agent has its own threads."""
        return name

    def native_key(self, app: str, name: str) -> str:
        return name

    def chosen_app(self, name: str) -> str:
        """Always empty: the request's model chooses the agent."""
        return ""

    def build_run(self, turn: Turn, *, app: str, key: str, run_id: str, form: str = "") -> HttpCall:
        path = app if "://" in app or not app else f"/{app.lstrip('/')}"
        return HttpCall(path, build_run(key, run_id, turn))

    def new_reader(
        self, *, max_frame: int, include_tool_activity: bool, resumed: bool = False, run_id: str = ""
    ) -> Reader:
        """`resumed` is ignored: a run that continues after an interrupt is a new run."""
        return EventReader(max_frame=max_frame, include_tool_activity=include_tool_activity, run_id=run_id)

    def find_run_id(self, stream: bytes) -> str:
        return find_last_run(stream)

    def recognizes(self, head: bytes) -> bool:
        """All event names are in upper case, including those of later versions."""
        name = name_of(head)
        return name is not None and name.isupper()
