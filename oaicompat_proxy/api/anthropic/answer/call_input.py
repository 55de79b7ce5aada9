"""The input of a call: an object, whatever the arguments are that the agent gave.

Source: `api/anthropic/PROTOCOL.md`, "Messages": the `input` of a `tool_use`.
"""

from __future__ import annotations

from typing import Any

import orjson

from ....core import json_text

_WHITE_SPACE = " \t\n\r"
"""What JSON allows before a value."""


SURE_DEPTH = 200
"""Brackets of an input that may all be nested and are encoded nevertheless."""


class CallInput:
    """The arguments of one call, which arrive in pieces. Both methods return the JSON text to send now.

    An object is sent as it arrives. The first character shows any other value, which waits for its end.
    """

    __slots__ = ("_is_object", "_waiting", "size")

    def __init__(self) -> None:
        # state
        self._is_object: bool | None = None
        """None until the first character that is no white space."""
        self._waiting: list[str] = []
        self.size = 0
        """Characters that wait."""

    def add(self, piece: str) -> str:
        if self._is_object:
            return piece
        self._waiting.append(piece)
        self.size += len(piece)
        if self._is_object is None and (start := piece.lstrip(_WHITE_SPACE)):
            self._is_object = start[0] == "{"
        return self._take() if self._is_object else ""

    def end(self) -> str:
        waiting = self._take()
        return json_text.encode(parse_input(waiting)).decode() if waiting else ""

    def _take(self) -> str:
        waiting, self._waiting, self.size = "".join(self._waiting), [], 0
        return waiting


def parse_input(arguments: str) -> dict[str, Any]:
    """The input of a call. It has to be an object, so any other value becomes `{"arguments": value}`.

    The value is a text if it is no JSON, or nested more deeply than orjson encodes it inside of a message: 254 levels.
    """
    if not arguments.strip(_WHITE_SPACE):
        return {}
    try:
        value = orjson.loads(arguments)
        if arguments.count("{") + arguments.count("[") > SURE_DEPTH:
            orjson.dumps([[[[[[[[value]]]]]]]])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        value = arguments
    return value if isinstance(value, dict) else {"arguments": value}
