"""The demo's agents (Agentick calls them apps) and their tools. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    schema: Mapping[str, Any]
    """JSON Schema of the arguments."""
    client: bool = False
    """The gateway has no handler for the tool; a client is expected to render it."""
    confirm: bool = False

    def compiled(self) -> dict[str, Any]:
        return {"name": self.name, "description": self.description}

    def raw(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {**self.compiled(), "input": self.schema, **self._kind()}
        if self.confirm:
            metadata["requiresConfirmation"] = True
        return {"metadata": metadata}

    def offered(self) -> dict[str, Any]:
        return {**self.compiled(), "input": self.schema, **self._kind()}

    def _kind(self) -> dict[str, str]:
        return {"type": "client"} if self.client else {}


def schema(required: Iterable[str] = (), /, **types: str) -> dict[str, Any]:
    properties = {name: {"type": type_} for name, type_ in types.items()}
    return {"type": "object", "properties": properties, "required": [*required]}


@dataclass(frozen=True, slots=True)
class Agent:
    id: str
    name: str
    description: str
    model: str
    tools: tuple[Tool, ...] = ()
    streaming: bool = True


DEMO_TOOLS = (
    Tool("add", "Add two numbers (run by the gateway)", schema("ab", a="number", b="number")),
    Tool("clock", "Tell the time (run by the gateway)", schema()),
    Tool(
        "client_weather",
        "Weather (client side)",
        schema(["city"], city="string", unit="string"),
        client=True,
    ),
    Tool("ask_child", "Spawns a child agent", schema("q", q="string")),
    Tool("danger", "Needs confirmation", schema("x", x="number"), confirm=True),
)

AGENTS = (
    Agent("demo", "Demo", "Answers anything, and shows what an agent run can do", "demo-model-1", DEMO_TOOLS),
    Agent("echo", "Echo", "Repeats what it was given, exactly", "echo-model-1"),
    Agent(
        "nostream",
        "No stream",
        "A model without streaming: the answer comes in one piece",
        "whole-model-1",
        DEMO_TOOLS,
        streaming=False,
    ),
)
DEFAULT_AGENT = AGENTS[0].id
