"""The Agentick dialect: a gateway hosts several apps and keeps sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from ...core.turn import Turn
from ..protocol import GatewayMethods, HttpCall, Reader
from . import requests as calls
from .reader import EventReader
from .recorded_fields import RECORDED_FIELDS

_ENVELOPE = re.compile(rb'\s*\{\s*"type"\s*:\s*"[a-z]')
"""The start of every frame: its `type`, in lower case."""


class Agentick:
    headers: Mapping[str, str] = MappingProxyType({})
    gateway: GatewayMethods | None = calls
    takes_messages = False
    recorded_fields = RECORDED_FIELDS
    child_starts = frozenset({b"spawn_start", b"fork_start"})

    def session_key(self, app: str, name: str) -> str:
        return calls.session_key(app, name)

    def native_key(self, app: str, name: str) -> str:
        return name if self.chosen_app(name) else calls.session_key(app, name.removeprefix(":"))

    def chosen_app(self, name: str) -> str:
        """A key is split at its first colon."""
        return name.partition(":")[0] if ":" in name else ""

    def build_run(self, turn: Turn, *, app: str, key: str, run_id: str, form: str = "") -> HttpCall:
        """The session key names the app."""
        return calls.build_send(key, turn, form)

    def new_reader(
        self, *, max_frame: int, include_tool_activity: bool, resumed: bool = False, run_id: str = ""
    ) -> Reader:
        return EventReader(max_frame, include_tool_activity, resumed)

    def find_run_id(self, stream: bytes) -> str:
        """Always empty: a request does not choose the id of its run."""
        return ""

    def recognizes(self, head: bytes) -> bool:
        return _ENVELOPE.match(head) is not None
