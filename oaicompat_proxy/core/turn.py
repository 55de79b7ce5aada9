"""One request as an agent gets it: built by `translation.prompt`, encoded by a dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .immutable import readonly
from .message import Block, Message, Tool


@dataclass(frozen=True, slots=True)
class ConfirmationReply:
    """The client's answer to a question of the agent, whose run waits for it."""

    question: str
    """The agent's id of the question: `ConfirmationRequired.call_id`, also the id of the call in the conversation."""
    confirmed: bool
    reason: str = ""
    text: str = ""
    """The client's text, for questions that ask for more than yes or no."""


@readonly
class Turn:
    """One user message for the agent, and the client's other parameters."""

    blocks: tuple[Block, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Parameters without a field of their own in the agent's protocol; JSON values, left out if empty."""
    messages: tuple[Message, ...] = ()
    """The conversation, if the agent gets it message by message; `blocks` are those of its last message."""
    tools: tuple[Tool, ...] = ()
    """The client's tools, for agents that take tools in a field of their own."""
    reply: ConfirmationReply | None = None
    """The reply to the question on which an earlier run waited; None if none did."""
    user: str = ""
    """The person for whom the request is made; empty if unknown."""
    mark: str = ""
    """Sent as the id of the last message; the agent's stream repeats it once the message has arrived."""
