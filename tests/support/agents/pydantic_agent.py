"""A third-party agent: Pydantic AI behind its own AG-UI adapter, with a scripted model."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.agents import asgi

Piece = str | dict[int, DeltaToolCall] | dict[int, DeltaThinkingPart]


def call(number: int, name: str, *pieces: str) -> Iterator[Piece]:
    """A tool call as a model streams it."""
    yield {number: DeltaToolCall(name=name, json_args="", tool_call_id=f"{name}-{number}")}
    yield from ({number: DeltaToolCall(json_args=piece)} for piece in pieces)


def results_of(messages: list[ModelMessage]) -> dict[str, Any]:
    """The results of tools after the last message of the user, by name."""
    results: dict[str, Any] = {}
    for message in messages:
        for part in message.parts if isinstance(message, ModelRequest) else ():
            if isinstance(part, UserPromptPart):
                results = {}
            elif isinstance(part, ToolReturnPart):
                results[part.tool_name] = part.content
    return results


def prompt_of(messages: list[ModelMessage]) -> str:
    prompts = [part for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
    return str(prompts[-1].content)


def summary_of(messages: list[ModelMessage]) -> str:
    """All parts of the messages as the framework has parsed them, as JSON."""
    return json.dumps(
        [
            [part.part_kind, getattr(part, "content", None) or getattr(part, "args", None)]
            for message in messages
            if isinstance(message, ModelRequest | ModelResponse)
            for part in message.parts
        ],
        default=str,
    )


@dataclass
class Harbor:
    """One agent, with the requests that it got. The user's last message decides what it does."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of all requests."""
    launched: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when a run was cancelled."""

    async def play(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Piece]:
        results, prompt = results_of(messages), prompt_of(messages)
        ours = {tool.name for tool in info.function_tools}
        wanted = [
            name for name in ("almanac", "tide", "launch") if name in prompt and name in ours and name not in results
        ]
        if results and not wanted:
            yield f"It says {json.dumps(results)}."
        elif wanted:
            yield "Let me look."
            for number, name in enumerate(wanted, 1):
                for piece in call(number, name, '{"port":', '"Brest"}'):
                    yield piece
        elif prompt == "think":
            yield {0: DeltaThinkingPart(content="Hm, ")}
            yield {0: DeltaThinkingPart(content="a greeting.")}
            yield "Hello."
        elif prompt == "summary":
            yield summary_of(messages)
        elif prompt == "fail":
            raise RuntimeError("Rate limit reached for sk-abcdefghijkl")
        elif prompt == "fail later":
            yield "Half an"
            raise RuntimeError("The crystal ball broke.")
        elif prompt == "for ever":
            async for piece in self._talk():
                yield piece
        else:
            for word in ("Hello", " from", " the", " harbor."):
                yield word

    async def _talk(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "tick "
                await asyncio.sleep(0.01)
        finally:
            self.stopped.set()

    def new_agent(self) -> Agent[None, Any]:
        agent: Agent[None, Any] = Agent(
            FunctionModel(stream_function=self.play), output_type=[str, DeferredToolRequests], instructions="Be brief."
        )

        @agent.tool_plain
        async def almanac(port: str) -> str:
            return f"high water in {port} at 06:12"

        @agent.tool_plain(requires_approval=True)
        async def launch(port: str) -> str:
            self.launched.append(port)
            return "afloat"

        return agent

    async def answer(self, request: Request) -> Response:
        self.requests.append(await request.json())
        if request.headers.get("authorization") == "Bearer wrong":
            return Response("no", 401)
        return await AGUIAdapter.dispatch_request(request, agent=self.new_agent(), include_usage=True)


@contextmanager
def serving() -> Iterator[Harbor]:
    """The agent at `/` and at `/agents/pilot`."""
    harbor = Harbor()
    routes = [Route(path, harbor.answer, methods=["POST"]) for path in ("/", "/agents/pilot")]
    with asgi.serving(Starlette(routes=routes)) as harbor.url:
        yield harbor
