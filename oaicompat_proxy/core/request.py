"""A client's request for a run of an agent, independent of the client's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, NamedTuple

from .immutable import readonly
from .json_text import JsonText
from .message import Message, Tool


class EntryChange(NamedTuple):
    """A stored entry that the answer to a request changes, and what the client's API needs for that."""

    name: str
    data: bytes


class AnswerFormat(NamedTuple):
    """The JSON that the client wants as the answer's text. `schema`: any object if it is None."""

    schema: Any
    param: str
    """The schema's place in the request."""
    prefix: str
    """What an error about the schema begins with in the words of the client's API."""


@readonly
class AgentRequest:
    model: str
    """"" if the client leaves the choice to the proxy."""
    messages: tuple[Message, ...]
    stream: bool
    tool_names: frozenset[str]
    """The tools that the client runs; empty if it forbids calls."""
    parameters: Mapping[str, Any]
    """The client's other fields that are not null, unknown ones too; they travel in the turn's metadata."""
    metadata_key: str
    """The key of `parameters` in the metadata: the name of the client's API."""
    exact: Mapping[str, JsonText] = field(default_factory=dict)
    """Parameters with numbers that no Python value holds: sent as they are written, in place of the nearest value."""
    tools: tuple[Tool, ...] = ()
    """Declarations of `tool_names`, for agents that take tools beside the messages."""
    tool_parameters: frozenset[str] = frozenset()
    """The parameters from which `tools` were read; an agent that takes tools does not get them twice."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """Options that the client's API reads when it encodes the answer, as JSON values."""
    stored_input: bytes = b""
    """The part of the request that is stored for later requests that refer to its answer; empty: none."""
    change: EntryChange | None = None
    """No other request that changes the same entry runs at the same time."""
    continues: str = ""
    """The id of the answer that this request goes on from; its session knows all that was said before."""
    continuable: bool = False
    """Later requests may go on from this answer by its id."""
    wants_token: bool = False
    """The client brings a token of the server's back with the next request, if its answer is not stored."""
    session_token: str = ""
    """The token that the request brings; that which it gets, when its answer is made. Nothing is known of its form."""
    instructions: str = ""
    """The first message, if it is for this request alone."""
    conversational: bool = True
    """False for a single prompt: its run gets a session of its own, and the client is not asked to confirm tools."""


@readonly
class RequestLimits:
    """Limits of a request. While it is parsed, no other request is served."""

    media: int
    """Bytes, decoded, of all pictures, sounds and files that come by value."""
    messages: int
    parts: int = 8192
    """Content parts and tool calls of all messages."""
    tools: int = 1024
    text: int = 8 * 1024 * 1024
    """Bytes of the body without the pictures, sounds and files."""
    values: int = 100_000
    """Values and keys of the JSON body. Each costs up to a microsecond."""
