"""The interrupts of a run that waits, encoded into one string that travels to the client and back.

The string contains everything that the answer needs, because a stateless proxy stores nothing between requests.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from .fields import value_of_json

RESUME, COMMAND, TOOL_MESSAGE = "resume", "command", "tool"
"""Places of the answer in the next run: `resume[]`, `forwardedProps.command.resume`, or a tool message."""


class PendingInterrupt(NamedTuple):
    """An open interrupt."""

    interrupt_id: str
    call_id: str = ""
    """The agent's tool call that waits, if it is in the stream."""
    name: str = ""
    """The name of the tool that waits, even if its call is not in the stream."""
    channel: str = RESUME
    schema: Any = None
    """The response schema, reduced; None if there is none."""
    reason_key: str = ""
    """The key for the person's reason; empty if none is allowed, or if the key is an argument of the tool."""
    decisions: int = 0
    """The number of tool calls that LangChain's `HumanInTheLoopMiddleware` wants decided, each by its own object."""
    fingerprint: str = ""
    """Fingerprint of the call's arguments, to check that the client sends the agent's own call back unchanged."""


def encode_interrupts(interrupts: list[PendingInterrupt]) -> str:
    """JSON, without default values."""
    return json.dumps([_without_defaults(each) for each in interrupts], separators=(",", ":"))


def _without_defaults(interrupt: PendingInterrupt) -> list[Any]:
    values, default = list(interrupt), list(PendingInterrupt(""))
    while len(values) > 1 and values[-1] == default[len(values) - 1]:
        values.pop()
    return values


def decode_interrupts(encoded: str) -> list[PendingInterrupt]:
    """Reads the output of `encode_interrupts`. The string is signed, so it is not checked again."""
    return [PendingInterrupt(*each) for each in json.loads(encoded)]


def fingerprint(arguments: str) -> str:
    """Equal for equal JSON values, whatever their notation. JavaScript writes 1.0 as 1."""
    try:
        plain = json.dumps(_plain(value_of_json(arguments)), sort_keys=True)
    except RecursionError:
        plain = arguments
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
