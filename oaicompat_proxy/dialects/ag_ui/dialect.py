"""AG-UI, as the web rooms ask for it: spoken by an agent at an address of its own, one POST a run.

An app is the agent's address: a whole URL, a path below the base address, or nothing for the base itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...core.turn import Turn
from ..protocol import Call, Gateway, Reader
from .event_names import name_of
from .reader import EventReader, find_last_run
from .recorded_fields import RECORDED_FIELDS
from .requests import build_run


class AgUi:
    headers: Mapping[str, str] = MappingProxyType({"Accept": "text/event-stream"})
    gateway: Gateway | None = None
    in_messages = True
    recorded_fields = RECORDED_FIELDS

    def session_key(self, app: str, name: str) -> str:
        """The thread: each agent has its own."""
        return name

    def native_key(self, app: str, name: str) -> str:
        return name

    def chosen_app(self, name: str) -> str:
        """A thread belongs to the agent that is asked."""
        return ""

    def build_run(self, turn: Turn, *, app: str, key: str, run_id: str) -> Call:
        path = app if "://" in app or not app else f"/{app.lstrip('/')}"
        return Call(path, build_run(key, run_id, turn))

    def new_reader(self, *, max_frame: int, with_deeds: bool, resumed: bool = False, run_id: str = "") -> Reader:
        """Nothing is ever joined in mid-run: a run that goes on after a question is a new one."""
        return EventReader(max_frame=max_frame, with_deeds=with_deeds, run_id=run_id)

    def find_run_id(self, stream: bytes) -> str:
        return find_last_run(stream)

    def recognizes(self, head: bytes) -> bool:
        """The names of all events are in capitals, even of those that nobody knows yet."""
        name = name_of(head)
        return name is not None and name.isupper()
