"""Spans of one run: its ticks, and the tools that the agent itself ran, are children of the run's span.

Attributes have the names of the GenAI conventions where these have one. A span has no prompt, no answer, no arguments
and no result of a tool and no text of an error, unless `--trace-content` is on.

Source: OpenTelemetry semantic conventions, "Generative AI spans" and "GenAI agent and framework spans".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode

from ...core.events import (
    ConfirmationRequired,
    Event,
    SubagentFinished,
    TextDelta,
    TextDeltas,
    TickEnded,
    TickStarted,
    ToolCalled,
    ToolFinished,
    ToolStarted,
    Usage,
)
from ...core.message import Message, Text
from .outcomes import FAILED_UPSTREAM, INTERNAL_ERROR
from .run_report import RunSummary

MAX_SPANS = 200
"""Spans of one run. An agent may run for hours."""

MAX_CONTENT = 64 * 1024
"""Characters of a conversation, and of an answer, if they are shown at all. The rest is left out."""

FAILED = FAILED_UPSTREAM | {INTERNAL_ERROR}
"""Outcomes that make the span an error. An error of the client is none."""

PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}
"""Numeric parameters of the request, and their attributes. An integer of an attribute has 64 bits."""


class RunTrace:
    """Makes spans of the events of a run as they arrive, and ends them with its summary."""

    def __init__(self, tracer: trace.Tracer, span: Span, *, with_content: bool) -> None:
        self._tracer = tracer
        self._span = span
        self._with_content = with_content
        # state
        self._ticks = 0
        self._spans = 0
        self._tick: Span | None = None
        self._tools: dict[str, Span] = {}
        self._arguments: dict[str, str] = {}
        self._texts: list[str] = []
        self._room = MAX_CONTENT
        self._over = False
        self._input = ""

    def on_request(self, parameters: Mapping[str, Any], messages: Sequence[Message]) -> None:
        """Keeps the parameters and messages that the span will have."""
        numbers = {PARAMETERS[name]: value for name, value in parameters.items() if name in PARAMETERS}
        self._span.set_attributes({name: value for name, value in numbers.items() if abs(value) < 2**63})
        if self._with_content:
            self._input = _conversation(messages)

    def on_event(self, event: Event) -> Event:
        """Returns the event."""
        handle = _HANDLERS.get(type(event))
        if handle is not None and not self._over:
            handle(self, event)
        return event

    def end(self, run: RunSummary) -> None:
        self._over = True
        for each in [*self._tools.values(), *([self._tick] if self._tick is not None else [])]:
            each.end()
        span = self._span
        span.update_name(f"{run.operation} {run.model}"[:200])
        span.set_attributes(_attributes(run))
        if run.first_token is not None:
            span.add_event("first token", timestamp=_unix_time(run.began + run.first_token))
        if run.outcome in FAILED:
            span.set_status(StatusCode.ERROR)
        if self._with_content:
            span.set_attribute("gen_ai.input.messages", self._input)
            span.set_attribute("gen_ai.output.messages", _messages([_part("assistant", "".join(self._texts))]))
        span.end()

    def _begin(self, name: str, parent: Span, **attributes: Any) -> Span | None:
        if self._spans >= MAX_SPANS:
            return None
        self._spans += 1
        named = {key.replace("__", "."): value for key, value in attributes.items()}
        return self._tracer.start_span(name, trace.set_span_in_context(parent, Context()), attributes=named)

    # one for each event

    def _tick_start(self, _event: TickStarted) -> None:
        self._end_tick()
        self._ticks += 1
        self._tick = self._begin(f"tick {self._ticks}", self._span, oaicompat__tick=self._ticks)

    def _tick_end(self, event: TickEnded) -> None:
        if self._tick is not None:
            self._tick.set_attributes(_usage_attributes(event.usage))
            if event.stop_reason:
                self._tick.set_attribute("gen_ai.response.finish_reasons", [event.stop_reason])
        self._end_tick()

    def _end_tick(self) -> None:
        if self._tick is not None:
            self._tick.end()
            self._tick = None

    def _call(self, event: ToolCalled) -> None:
        if self._with_content and len(self._arguments) < MAX_SPANS:
            self._arguments[event.call_id] = event.arguments[:MAX_CONTENT]

    def _tool_start(self, event: ToolStarted) -> None:
        span = self._begin(
            f"execute_tool {event.name}",
            self._tick or self._span,
            gen_ai__operation__name="execute_tool",
        )
        if span is not None:
            span.set_attributes({"gen_ai.tool.name": event.name, "gen_ai.tool.call.id": event.call_id})
            self._tools[event.call_id] = span

    def _tool_end(self, event: ToolFinished) -> None:
        span = self._tools.pop(event.call_id, None)
        if span is None:
            return
        if event.is_error:
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", "tool_error")
        if self._with_content:
            span.set_attribute("gen_ai.tool.call.arguments", self._arguments.pop(event.call_id, ""))
            span.set_attribute("gen_ai.tool.call.result", event.result[:MAX_CONTENT])
        span.end()

    def _child_end(self, event: SubagentFinished) -> None:
        attributes: dict[str, str | bool] = {"oaicompat.child.is_error": event.is_error}
        if self._with_content:  # a child may be named after its task
            attributes |= {"oaicompat.child.name": event.name}
        self._span.add_event("child ended", attributes)

    def _confirmation(self, event: ConfirmationRequired) -> None:
        self._span.add_event("confirmation required", {"gen_ai.tool.name": event.name})

    def _text(self, event: TextDelta | TextDeltas) -> None:
        if self._with_content and self._room > 0:
            text = event.text[: self._room]
            self._room -= len(text)
            self._texts.append(text)


_HANDLERS: dict[type[Any], Callable[[RunTrace, Any], None]] = {
    TickStarted: RunTrace._tick_start,
    TickEnded: RunTrace._tick_end,
    ToolCalled: RunTrace._call,
    ToolStarted: RunTrace._tool_start,
    ToolFinished: RunTrace._tool_end,
    SubagentFinished: RunTrace._child_end,
    ConfirmationRequired: RunTrace._confirmation,
    TextDelta: RunTrace._text,
    TextDeltas: RunTrace._text,
}


def _attributes(run: RunSummary) -> dict[str, Any]:
    """The attributes of the run's span, without content."""
    known = {
        "gen_ai.request.model": run.model[:200],
        "gen_ai.conversation.id": run.session,
        "gen_ai.response.finish_reasons": [run.finish_reason] if run.finish_reason else None,
        "error.type": run.error_type,
        "http.response.status_code": run.status,
        "oaicompat.request_id": run.request_id,
        "oaicompat.key": run.key_name,
        "oaicompat.user": run.user[:200],
        "oaicompat.outcome": run.outcome,
        "oaicompat.stream": run.stream,
        "oaicompat.ticks": run.ticks,
        "oaicompat.execution_id": run.execution,
        **_usage_attributes(run.usage),
    }
    return {name: value for name, value in known.items() if value is not None and value != ""}


def _usage_attributes(usage: Usage | None) -> dict[str, int]:
    if usage is None:
        return {}
    return {"gen_ai.usage.input_tokens": usage.input_tokens, "gen_ai.usage.output_tokens": usage.output_tokens}


def _unix_time(moment: float) -> int:
    """Unix time in nanoseconds. `moment`: of `time.perf_counter()`."""
    return time.time_ns() - int((time.perf_counter() - moment) * 1e9)


def _conversation(messages: Sequence[Message]) -> str:
    """The texts of a conversation in the form of the conventions. Beyond the limit the oldest messages are left out."""
    room = MAX_CONTENT
    shown: list[dict[str, Any]] = []
    for message in reversed(messages):
        text = "".join(block.text for block in message.blocks if isinstance(block, Text))[:room]
        shown.append(_part(message.role, text))
        room -= len(text)
        if room <= 0:
            break
    return _messages(shown[::-1])


def _messages(messages: list[dict[str, Any]]) -> str:
    return json.dumps(messages, ensure_ascii=False)


def _part(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}
