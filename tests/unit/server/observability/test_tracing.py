"""Traces, socket to socket: from the client's header to the gateway's, and to a collector of OTLP."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from oaicompat_proxy.server.observability import tracing
from oaicompat_proxy.server.observability.telemetry import TELEMETRY
from tests.support.proxy import StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Reply, closing, failure, frame, run, text

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = 1
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Collector:
    """A real receiver of OTLP over HTTP."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.holds: asyncio.Event | None = None
        self._news = asyncio.Event()

    async def until(self, name: str) -> None:
        """Waits for a span of this name."""
        async with asyncio.timeout(5):
            while name not in self.spans():
                self._news.clear()
                await self._news.wait()

    async def take(self, request: web.Request) -> web.Response:
        if self.holds is not None:
            await self.holds.wait()
        self.bodies.append(await request.read())
        self._news.set()
        response = web.Response(body=b"", content_type="application/x-protobuf")
        response.force_close()  # the exporter would keep the connection, and with it a task of ours
        return response

    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    def spans(self) -> dict[str, Any]:
        return {
            span.name: span
            for request in self.requests()
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }

    def resource(self) -> dict[str, str]:
        (attributes,) = {
            tuple((each.key, each.value.string_value) for each in resource.resource.attributes)
            for request in self.requests()
            for resource in request.resource_spans
        }
        return dict(attributes)


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield collector


async def test_a_run_is_continued_from_the_client_and_passed_to_the_gateway(
    collector: Collector, proxy: StartProxy, agent: Agent
) -> None:
    agent.plays(
        [*OPENING, frame("tool_result_start", callId="c1", name="add")],
        frame("tool_result", callId="c1", name="add", result={"success": True, "content": "s3cr3t"}),
        [text("an answer with s3cr3t"), *closing()],
    )
    front = await proxy(trace=True)
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=1", "Authorization": "Bearer s3cr3t"}
    received = await front.post(chat_body("a prompt with s3cr3t", temperature=0.5), headers=headers)
    await collector.until("chat default")
    spans = collector.spans()
    assert sorted(spans) == ["chat default", "execute_tool add", "tick 1"]
    root = spans["chat default"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, PARENT)
    assert root.kind == root.SPAN_KIND_SERVER
    assert agent.runs[0].headers["traceparent"] == f"00-{TRACE}-{root.span_id.hex()}-01"
    assert agent.runs[0].headers["tracestate"] == "vendor=1"
    attributes = {each["key"]: each["value"] for each in MessageToDict(root)["attributes"]}
    assert attributes["gen_ai.operation.name"] == {"stringValue": "chat"}
    assert attributes["gen_ai.provider.name"] == {"stringValue": "agentick"}
    assert attributes["gen_ai.request.model"] == {"stringValue": "default"}
    assert attributes["gen_ai.request.temperature"] == {"doubleValue": 0.5}
    assert attributes["gen_ai.usage.input_tokens"] == {"intValue": "11"}
    assert attributes["gen_ai.conversation.id"] == {"stringValue": agent.runs[0].session}
    assert attributes["oaicompat.request_id"] == {"stringValue": received.headers["x-request-id"]}
    assert b"s3cr3t" not in b"".join(collector.bodies)
    assert collector.resource()["service.name"] == "oaicompat-proxy"


async def test_what_was_said_is_sent_if_that_is_switched_on(
    collector: Collector, proxy: StartProxy, agent: Agent
) -> None:
    agent.plays(run("Good evening"))
    front = await proxy(trace=True, trace_content=True)
    await front.chat("Good morning")
    await collector.until("chat default")
    assert b"Good morning" in collector.bodies[0]
    assert b"Good evening" in collector.bodies[0]


async def test_the_answer_is_the_same_as_without(collector: Collector, proxy: StartProxy, agent: Agent) -> None:
    agent.plays(
        [*OPENING, frame("spawn_start", spawnId="k", label="child"), frame("spawn_end", spawnId="k", output="x")],
        [frame("tool_result_start", callId="c1", name="add"), frame("tool_result", callId="c1", name="add")],
        [text("Hel"), text("lo"), *closing()],
    )
    bodies = [(await (await proxy(trace=trace)).chat(stream=False)).body for trace in (False, True)]
    first, second = (body.partition(b'"choices"')[2] for body in bodies)
    assert first == second
    await collector.until("chat default")


@pytest.mark.parametrize(
    ("variables", "sampled", "service"),
    [
        ({}, True, "oaicompat-proxy"),
        ({"OTEL_SERVICE_NAME": "owl"}, True, "owl"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=owl,team=x"}, True, "owl"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, False, ""),
    ],
)
async def test_opentelemetrys_own_variables_count(
    collector: Collector,
    proxy: StartProxy,
    agent: Agent,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    sampled: bool,
    service: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    agent.plays(run("Hello"))
    front = await proxy(trace=True)
    await front.chat()
    flags = int(agent.runs[0].headers["traceparent"].rpartition("-")[2], 16)
    assert bool(flags & SAMPLED) is sampled
    if sampled:
        await collector.until("chat default")
        assert collector.resource()["service.name"] == service
    else:
        await asyncio.sleep(0.1)
        assert collector.bodies == []


async def test_a_client_that_is_not_sampled_is_not(collector: Collector, proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(trace=True)
    await front.post(chat_body(), headers={"traceparent": TRACEPARENT[:-1] + "0"})
    assert agent.runs[0].headers["traceparent"].startswith(f"00-{TRACE}-")
    assert agent.runs[0].headers["traceparent"].endswith("-00")
    await asyncio.sleep(0.1)
    assert collector.bodies == []


async def test_a_failed_run_is_an_error(collector: Collector, proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", Reply([failure("the model said s3cr3t")]))
    front = await proxy(trace=True)
    await front.chat()
    await collector.until("chat default")
    span = collector.spans()["chat default"]
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert b"s3cr3t" not in collector.bodies[0]


@pytest.mark.parametrize("value", ["", "00-0-0-01", "garbage\x7f", f"ff-{TRACE}-{PARENT}-01", "x" * 4000])
async def test_a_header_that_cannot_be_begins_a_new_trace(
    collector: Collector, proxy: StartProxy, agent: Agent, value: str
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(trace=True)
    line = await front.dial()
    await line.post(chat_body(stream=False), headers=[f"traceparent: {value}"])
    assert (await line.read_head())[0] in (200, 400)
    for each in agent.runs:
        assert each.headers["traceparent"][3:35] not in ("0" * 32, TRACE)


async def test_without_it_nothing_is_sent_and_nothing_passed_on(
    collector: Collector, proxy: StartProxy, agent: Agent
) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await front.post(chat_body(), headers={"traceparent": TRACEPARENT})
    assert "traceparent" not in agent.runs[0].headers
    assert collector.bodies == []


@pytest.mark.slow
def test_without_it_nothing_of_opentelemetry_is_imported() -> None:
    program = (
        "import sys; import oaicompat_proxy.cli, oaicompat_proxy.server.app;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("hangs", [True, False])
async def test_a_collector_that_is_gone_holds_up_nothing_for_long(
    collector: Collector, proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    monkeypatch.setattr(tracing, "FLUSH_TIMEOUT", 0.2)
    if hangs:
        collector.holds = asyncio.Event()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    else:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    agent.plays(run("Hello"))
    front = await proxy(trace=True)
    assert (await front.chat()).status == 200
    began = time.monotonic()
    tracer = front.app[TELEMETRY].tracer
    assert tracer is not None
    await tracer.stop()
    assert time.monotonic() - began < 3
    if collector.holds is not None:
        collector.holds.set()
