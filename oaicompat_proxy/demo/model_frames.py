"""Frames about the engine's requests to the model. Each repeats the whole prompt. Pure.

These frames make up most of a real stream's bytes. A proxy must not send them to its clients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

from .agents import Agent, Tool
from .frames import FrameFactory
from .script import ScriptedToolCall, Tick, Usage, count_words, parse_arguments

CONTEXT_WINDOW = 128_000
PROVIDER = "demo"
FINAL_STOPS = {"stop", "max_tokens", "content_filter", "natural_completion", "explicit_completion"}
"""Stop reasons that end the run. After any other the engine calls the model again."""

ModelMessage = dict[str, Any]


def request_frames(
    frames: FrameFactory, tick: int, agent: Agent, tools: Sequence[Tool], prompt: list[ModelMessage], padding: int
) -> Iterator[bytes]:
    """The three frames before the model's first output."""
    at: dict[str, Any] = {"tick": tick, "timestamp": frames.stamps.time()}
    yield frames.engine_event("compiled", tick, **at, **_compiled(tools, prompt, padding))
    body = {"messages": prompt, "tools": [tool.offered() for tool in tools]}
    yield frames.engine_event("model_request", tick, **at, modelId=agent.model, input=body, stage="model_input")
    yield frames.engine_event(
        "provider_request", tick, **at, modelId=agent.model, provider=PROVIDER, providerInput=body
    )


def response_frame(
    frames: FrameFactory,
    number: int,
    agent: Agent,
    tick: Tick,
    usage: Usage,
    reply: ModelMessage,
    calls: list[ScriptedToolCall],
) -> bytes:
    """`model_response`: the model's output and the engine's decision about it."""
    output: dict[str, Any] = {"message": reply["message"], "usage": usage.json(), "stopReason": tick.stop_reason}
    if not agent.streaming:
        output = {"model": agent.model, **output, "toolCalls": tool_calls(calls)}
    pending = any(call.executed_by == "server" for call in calls)
    entry = {key: value for key, value in reply.items() if key != "id"} if pending else reply
    state: dict[str, Any] = {"newTimelineEntries": [entry]}
    if calls:
        state["toolCalls"] = tool_calls(calls)
    state["shouldStop"] = not calls and tick.stop_reason in FINAL_STOPS
    state["stopReason"] = {
        "reason": tick.stop_reason,
        "description": f"Stopped due to {tick.stop_reason}",
        "recoverable": False,
        "metadata": {"usage": usage.json()},
    }
    at: dict[str, Any] = {"tick": number, "timestamp": frames.stamps.time()}
    return frames.engine_event("model_response", number, **at, modelOutput=output, engineState=state)


def context_update_frame(frames: FrameFactory, tick: int, agent: Agent, usage: Usage, total: Usage) -> bytes:
    return frames.engine_event(
        "context_update",
        tick,
        modelId=agent.model,
        modelName=agent.model,
        provider=PROVIDER,
        contextWindow=CONTEXT_WINDOW,
        **usage.json(),
        cumulativeUsage={**total.json(), "ticks": tick - 1},
        tick=tick,
        timestamp=frames.stamps.time(),
    )


def tool_calls(calls: list[ScriptedToolCall]) -> list[dict[str, Any]]:
    return [{"id": call.id, "name": call.name, "input": parse_arguments(call.arguments)} for call in calls]


def word_count(message: ModelMessage) -> int:
    return count_words(str(block.get("text") or block.get("input", "")) for block in message["content"])


def estimate_tokens(block: dict[str, Any]) -> int:
    """The engine's own estimate of a block: one token for four characters, and four tokens for the block."""
    if block.get("type") == "tool_result":
        return sum(estimate_tokens(part) for part in block.get("content") or () if isinstance(part, dict))
    text = block.get("text") or f"{block.get('name', '')}{block.get('input', '')}"
    return 4 + ceil(len(text) / 4)


def _compiled(tools: Sequence[Tool], prompt: list[ModelMessage], padding: int) -> dict[str, Any]:
    sizes = [4 + sum(estimate_tokens(block) for block in message["content"]) for message in prompt]
    measured = list(zip(prompt, sizes, strict=True))
    timeline = [{"kind": "message", "message": message, "tokens": size} for message, size in measured]
    entries = [{**_id_first(message), "renderer": {}, "tokens": size} for message, size in measured]
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
