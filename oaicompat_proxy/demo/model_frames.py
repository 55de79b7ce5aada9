"""What the engine reports of its exchange with the model: the whole prompt, several times over. Pure.

These are the frames that make a real stream large and that must not reach a client.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

from .agents import Agent, Tool
from .frames import Stage
from .script import Call, Tick, Usage, count, parsed

CONTEXT_WINDOW = 128_000
PROVIDER = "demo"
FINAL_STOPS = {"stop", "max_tokens", "content_filter", "natural_completion", "explicit_completion"}
"""After any other stop reason the engine calls the model again."""

ModelMessage = dict[str, Any]


def request(
    stage: Stage, tick: int, agent: Agent, tools: Sequence[Tool], prompt: list[ModelMessage], padding: int
) -> Iterator[bytes]:
    """The three frames before the model's first word."""
    at: dict[str, Any] = {"tick": tick, "timestamp": stage.stamps.time()}
    yield stage.engine("compiled", tick, **at, **_compiled(tools, prompt, padding))
    body = {"messages": prompt, "tools": [tool.offered() for tool in tools]}
    yield stage.engine("model_request", tick, **at, modelId=agent.model, input=body, stage="model_input")
    yield stage.engine("provider_request", tick, **at, modelId=agent.model, provider=PROVIDER, providerInput=body)


def response(
    stage: Stage, number: int, agent: Agent, tick: Tick, usage: Usage, reply: ModelMessage, calls: list[Call]
) -> bytes:
    """`model_response`: the model's output and what the engine makes of it."""
    output: dict[str, Any] = {"message": reply["message"], "usage": usage.json(), "stopReason": tick.stop}
    if not agent.streaming:
        output = {"model": agent.model, **output, "toolCalls": tool_calls(calls)}
    pending = any(call.by == "server" for call in calls)
    entry = {key: value for key, value in reply.items() if key != "id"} if pending else reply
    state: dict[str, Any] = {"newTimelineEntries": [entry]}
    if calls:
        state["toolCalls"] = tool_calls(calls)
    state["shouldStop"] = not calls and tick.stop in FINAL_STOPS
    state["stopReason"] = {
        "reason": tick.stop,
        "description": f"Stopped due to {tick.stop}",
        "recoverable": False,
        "metadata": {"usage": usage.json()},
    }
    at: dict[str, Any] = {"tick": number, "timestamp": stage.stamps.time()}
    return stage.engine("model_response", number, **at, modelOutput=output, engineState=state)


def context_update(stage: Stage, tick: int, agent: Agent, usage: Usage, total: Usage) -> bytes:
    return stage.engine(
        "context_update",
        tick,
        modelId=agent.model,
        modelName=agent.model,
        provider=PROVIDER,
        contextWindow=CONTEXT_WINDOW,
        **usage.json(),
        cumulativeUsage={**total.json(), "ticks": tick - 1},
        tick=tick,
        timestamp=stage.stamps.time(),
    )


def tool_calls(calls: list[Call]) -> list[dict[str, Any]]:
    return [{"id": call.id, "name": call.name, "input": parsed(call.arguments)} for call in calls]


def words_in(message: ModelMessage) -> int:
    return count(str(block.get("text") or block.get("input", "")) for block in message["content"])


def tokens(block: dict[str, Any]) -> int:
    """The engine's own estimate of a block: four letters a token, and four for the block."""
    if block.get("type") == "tool_result":
        return sum(tokens(part) for part in block.get("content") or () if isinstance(part, dict))
    text = block.get("text") or f"{block.get('name', '')}{block.get('input', '')}"
    return 4 + ceil(len(text) / 4)


def _compiled(tools: Sequence[Tool], prompt: list[ModelMessage], padding: int) -> dict[str, Any]:
    sizes = [4 + sum(tokens(block) for block in message["content"]) for message in prompt]
    weighed = list(zip(prompt, sizes, strict=True))
    timeline = [{"kind": "message", "message": message, "tokens": size} for message, size in weighed]
    entries = [{**_id_first(message), "renderer": {}, "tokens": size} for message, size in weighed]
    return {
        "messages": timeline,
        "tools": [tool.compiled() for tool in tools],
        "rawCompiled": {
            "sections": {"padding": "x" * padding} if padding else {},
            "timelineEntries": entries,
            "systemEntries": [],
            "tools": [tool.raw() for tool in tools],
            "ephemeral": [],
        },
        "formattedInput": {
            "timeline": timeline,
            "sections": {},
            "tools": [tool.offered() for tool in tools],
            "ephemeral": [],
            "system": [],
            "metadata": {},
            "totalTokens": sum(sizes),
        },
    }


def _id_first(message: ModelMessage) -> ModelMessage:
    return {"id": message["id"], **message} if "id" in message else message
