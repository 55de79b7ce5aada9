"""The spans of a run, made of its events and its summary, as an exporter in memory gets them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from oaicompat_proxy.core.errors import AgentError, InvalidRequest
from oaicompat_proxy.core.events import (
    ConfirmationRequired,
    Event,
    RunEnded,
    RunStarted,
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
from oaicompat_proxy.core.message import Message, Text
from oaicompat_proxy.server.observability.run_report import RunCounts, RunReport
from oaicompat_proxy.server.observability.run_trace import MAX_CONTENT, MAX_SPANS, RunTrace

USED = Usage(5, 6, 11)

RUN: list[Event] = [
    RunStarted(),
    TickStarted(),
    TextDelta("s3cr3t"),
    ToolCalled("c1", "add", '{"a":"s3cr3t"}'),
    ToolStarted("c1", "add"),
    ToolFinished("c1", "add", "s3cr3t", False, 0.1),
    TickEnded(True, "tool_use", USED),
    TickStarted(),
    ToolStarted("c2", "fetch"),
    ToolFinished("c2", "fetch", "s3cr3t", True, None),
    SubagentFinished("s3cr3t", "s3cr3t", False),
    ConfirmationRequired("c3", "pay", '{"to":"s3cr3t"}', "s3cr3t"),
    TextDeltas("an answer", [b"an ", b"answer"]),
    TickEnded(False, "stop", USED),
    RunEnded(),
]


class Scene:
    def __init__(self, *, with_content: bool = False) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        tracer = provider.get_tracer("test")
        self.trace = RunTrace(tracer, tracer.start_span("chat"), with_content=with_content)
        self.report = RunReport("chat", RunCounts())
        self.report.on_request("owl", stream=True)

    def play(self, events: Sequence[Event], error: Exception | None = None) -> dict[str, ReadableSpan]:
        """The finished spans by name."""
        assert [self.trace.on_event(event) for event in events] == list(events)
        if error is not None:
            self.report.fail(error)
        self.report.end(sent=1)
        self.trace.end(self.report)
        return {span.name: span for span in self._exporter.get_finished_spans()}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_ticks_and_tools_are_spans_below_the_run() -> None:
    spans = Scene().play(RUN)
    assert sorted(spans) == ["chat owl", "execute_tool add", "execute_tool fetch", "tick 1", "tick 2"]
    root = spans["chat owl"].context
    assert all(span.context.trace_id == root.trace_id for span in spans.values())
    parents = {name: span.parent.span_id if span.parent else None for name, span in spans.items()}
    assert parents == {
        "chat owl": None,
        "tick 1": root.span_id,
        "tick 2": root.span_id,
        "execute_tool add": spans["tick 1"].context.span_id,
        "execute_tool fetch": spans["tick 2"].context.span_id,
    }
    assert attributes(spans["tick 1"]) == {
        "oaicompat.tick": 1,
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 6,
        "gen_ai.response.finish_reasons": ("tool_use",),
    }
    tool = attributes(spans["execute_tool add"])
    assert tool == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.call.id": "c1",
    }
    assert spans["execute_tool add"].status.status_code is StatusCode.UNSET
    assert spans["execute_tool fetch"].status.status_code is StatusCode.ERROR
    assert [event.name for event in spans["chat owl"].events] == ["child ended", "confirmation required"]


def test_nothing_that_was_said_is_in_them() -> None:
    scene = Scene()
    scene.trace.on_request({"temperature": 0.5, "user": "s3cr3t"}, [Message("user", (Text("s3cr3t"),))])
    spans = scene.play(RUN, AgentError("s3cr3t"))
    assert spans
    exported = " ".join(span.to_json() for span in spans.values())
    assert "s3cr3t" not in exported
    assert '"gen_ai.request.temperature": 0.5' in exported


def test_what_was_said_is_in_them_if_that_is_switched_on() -> None:
    scene = Scene(with_content=True)
    scene.trace.on_request({}, [Message("system", (Text("Be kind."),)), Message("user", (Text("Hi"),))])
    spans = scene.play(RUN)
    run = attributes(spans["chat owl"])
    assert json.loads(run["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
    ]
    (answer,) = json.loads(run["gen_ai.output.messages"])
    assert answer == {"role": "assistant", "parts": [{"type": "text", "content": "s3cr3tan answer"}]}
    tool = attributes(spans["execute_tool add"])
    assert (tool["gen_ai.tool.call.arguments"], tool["gen_ai.tool.call.result"]) == ('{"a":"s3cr3t"}', "s3cr3t")


def test_what_is_shown_has_a_bound() -> None:
    scene = Scene(with_content=True)
    long = "x" * (MAX_CONTENT + 1)
    scene.trace.on_request({}, [Message("user", (Text("first"),)), Message("user", (Text(long),))])
    run = attributes(scene.play([TextDelta(long), TextDelta("more")])["chat owl"])
    for name in ("gen_ai.input.messages", "gen_ai.output.messages"):
        (message,) = json.loads(run[name])
        assert len(message["parts"][0]["content"]) == MAX_CONTENT


def test_a_run_has_only_so_many_spans() -> None:
    events: list[Event] = []
    for number in range(MAX_SPANS):
        call = f"c{number}"
        events += [TickStarted(), ToolStarted(call, call), ToolFinished(call, call, "", False, None)]
    assert len(Scene().play(events)) == MAX_SPANS + 1


def test_what_is_still_open_ends_with_the_run() -> None:
    scene = Scene()
    spans = scene.play([TickStarted(), ToolStarted("c1", "add")])
    assert sorted(spans) == ["chat owl", "execute_tool add", "tick 1"]
    scene.trace.on_event(TickStarted())  # the run goes on, without its reader
    assert len(scene.play([])) == 3


@pytest.mark.parametrize(
    ("error", "status", "outcome", "kind"),
    [
        (None, StatusCode.UNSET, "success", None),
        (AgentError("no"), StatusCode.ERROR, "agent_error", "agent_error"),
        (InvalidRequest("no"), StatusCode.UNSET, "refused", "invalid_request_error"),
    ],
)
def test_it_says_how_the_run_went(error: Exception | None, status: StatusCode, outcome: str, kind: str | None) -> None:
    scene = Scene()
    scene.report.request_id = "req_1"
    scene.report.on_started("s1")
    scene.report.on_sent()
    span = scene.play([], error)["chat owl"]
    values = attributes(span)
    assert span.status.status_code is status
    assert (values["oaicompat.outcome"], values.get("error.type")) == (outcome, kind)
    assert (values["gen_ai.request.model"], values["gen_ai.conversation.id"]) == ("owl", "s1")
    assert values["oaicompat.request_id"] == "req_1"
    (event,) = span.events
    assert event.name == "first token"
    assert span.start_time is not None
    assert span.end_time is not None
    assert abs(event.timestamp - span.start_time) < 1e9
