"""Agentick, as the web rooms ask for it: spoken by a gateway that hosts apps and keeps sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from ...core.turn import Turn
from ..protocol import Call, Gateway, Reader
from . import requests as calls
from .reader import EventReader
from .recorded_fields import RECORDED_FIELDS
from .text_fast_path import Shapes

_ENVELOPE = re.compile(rb'\s*\{\s*"type"\s*:\s*"[a-z]')
"""Of every frame: the kind of it stands in front, in small letters."""


class Agentick:
    headers: Mapping[str, str] = MappingProxyType({})
    gateway: Gateway | None = calls
    in_messages = False
    recorded_fields = RECORDED_FIELDS

    def __init__(self) -> None:
        self._shapes = Shapes()

    def session_key(self, app: str, name: str) -> str:
        return calls.session_key(app, name)

    def native_key(self, app: str, name: str) -> str:
        return name if self.chosen_app(name) else calls.session_key(app, name.removeprefix(":"))

    def chosen_app(self, name: str) -> str:
        """A key is cut at its first colon."""
        return name.partition(":")[0] if ":" in name else ""

    def build_run(self, turn: Turn, *, app: str, key: str, run_id: str) -> Call:
        """The key says which app it is."""
        return calls.build_send(key, turn)

    def new_reader(self, *, max_frame: int, with_deeds: bool, resumed: bool = False, run_id: str = "") -> Reader:
        return EventReader(max_frame=max_frame, with_deeds=with_deeds, resumed=resumed, shapes=self._shapes)

    def find_run_id(self, stream: bytes) -> str:
        """Its runs have no names that a call gives them."""
        return ""

    def recognizes(self, head: bytes) -> bool:
        return _ENVELOPE.match(head) is not None
