"""A client's request for a run of an agent, independent of the client's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, NamedTuple

from .immutable import readonly
from .json_text import JsonText
from .message import Message, Tool


class EntryChange(NamedTuple):
    """A stored entry that the request's answer changes. `data` is read by the client's API alone."""

    name: str
    data: bytes


class AnswerFormat(NamedTuple):
    """The form of the JSON that the client wants as the answer's text. `schema`: None for any object."""

    schema: Any
    param: str
    """The schema's place in the request."""
    prefix: str
    """The beginning of an error about the schema, in the wording of the client's API."""


@readonly
class AgentRequest:
    model: str
    """"" if the client leaves the choice to the proxy."""
    messages: tuple[Message, ...]
    stream: bool
    tool_names: frozenset[str]
    """The tools that the client runs; empty if it forbids calls."""
    parameters: Mapping[str, Any]
    """All other fields of the body that are not null, unknown ones too; the turn carries them as metadata."""
    metadata_key: str
    """The key of `parameters` in the metadata: the name of the client's API."""
    exact: Mapping[str, JsonText] = field(default_factory=dict)
    """Parameters with numbers that Python cannot represent: this text is sent in place of the nearest value."""
    tools: tuple[Tool, ...] = ()
    """Declarations of `tool_names`, for agents that take tools in a field of their own."""
    tool_parameters: frozenset[str] = frozenset()
    """The parameters from which `tools` were read; left out for an agent that gets `tools`."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """Options that the client's API reads when it encodes the answer, as JSON values."""
    stored_input: bytes = b""
    """The part of the request that is stored for later requests that refer to its answer; empty: none."""
    change: EntryChange | None = None
    """The stored entry that the answer changes; requests that change the same entry run one after another."""
    continues: str = ""
    """The id of the earlier answer that this request continues; that answer's session knows the whole conversation."""
    continuable: bool = False
    """Later requests may continue this answer by its id."""
    wants_token: bool = False
    """If the answer is not stored, the client gets a token of the server, which its next request brings back."""
    session_token: str = ""
    """The token that the request brings; when the answer is made, the token that the client gets. Opaque here."""
    instructions: str = ""
    """The first message, if it is for this request alone."""
    conversational: bool = True
    """False for a single prompt: its run gets a session of its own, and the client is not asked to confirm tools."""


@readonly
class RequestLimits:
    """Limits of a request; they bound the time of parsing, in which no other request is served."""

    media: int
    """Decoded bytes of all pictures, sounds and files that are in the body."""
    messages: int
    parts: int = 8192
    """Content parts and tool calls of all messages."""
    tools: int = 1024
    text: int = 8 * 1024 * 1024
    """Bytes of the body without the pictures, sounds and files."""
    values: int = 100_000
    """Values and keys of the JSON body. Each costs up to a microsecond."""
