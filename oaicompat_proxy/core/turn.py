"""One request as an agent gets it: built by `translation.prompt`, encoded by a dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .immutable import readonly
from .message import Block, Message, Tool


@dataclass(frozen=True, slots=True)
class ConfirmationReply:
    """The client's answer to a question on which the agent's run waits."""

    question: str
    """The agent's own id of the question, as its `ConfirmationRequired` had it; also the id of its call in the
    conversation."""
    confirmed: bool
    reason: str = ""
    text: str = ""
    """The answer as it was written: not every question is answered with yes or no."""


@readonly
class Turn:
    """One user message for the agent, with the rest of the client's request beside it."""

    blocks: tuple[Block, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that the native call has no place for; JSON values, left out if empty."""
    messages: tuple[Message, ...] = ()
    """The conversation, if it is to be sent message by message; `blocks` are those of the last one."""
    tools: tuple[Tool, ...] = ()
    """The client's tools, for agents that take them beside the messages."""
    reply: ConfirmationReply | None = None
    """The reply that this run brings to the agent, if another run waited for it."""
    user: str = ""
    """The person for whom the request is made, as far as known."""
    mark: str = ""
    """Sent as the id of the last message; the agent's stream shows it when the message has arrived."""
