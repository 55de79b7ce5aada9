"""One OpenTelemetry span for each run. It continues the client's trace, and the gateway gets its context.

Imported only with `--trace`, since it needs the packages of the extra `tracing`. OpenTelemetry's own `OTEL_…` variables
configure the collector, the sampling and the resource attributes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from ... import __version__
from ...config.settings import Config
from .run_report import RunReport, RunSummary
from .run_trace import RunTrace

FLUSH_TIMEOUT = 3.0
"""Seconds at shutdown to send the last spans. If the collector does not answer, they are dropped."""

SERVICE = "oaicompat-proxy"
"""`service.name`, unless the environment sets another."""


class Tracer:
    """Begins the span of each run. `end_trace` ends it."""

    def __init__(self, exporter: SpanExporter, *, provider: str, with_content: bool) -> None:
        """`provider`: the agent's dialect. `with_content`: spans contain prompts and answers."""
        ours = Resource.create({"service.name": SERVICE, "service.version": __version__})
        self._exporter = exporter
        self._provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("oaicompat_proxy", __version__)
        self._provider_name = provider
        self._with_content = with_content

    def begin(self, report: RunReport, headers: Mapping[str, str]) -> None:
        """Continues the trace of the client's headers, if there is one, and sets the headers for the gateway."""
        span = self._tracer.start_span(
            report.operation,
            propagate.extract(headers),
            kind=trace.SpanKind.SERVER,
            attributes={"gen_ai.operation.name": report.operation, "gen_ai.provider.name": self._provider_name},
        )
        context = trace.set_span_in_context(span)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, context)
        report.headers = carrier
        if span.is_recording():
            report.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
            report.trace = RunTrace(self._tracer, span, with_content=self._with_content)
            report.watch = report.trace.on_event

    async def stop(self) -> None:
        """Sends the last spans, within FLUSH_TIMEOUT."""
        stopping = asyncio.create_task(asyncio.to_thread(self._provider.shutdown), name="send last traces")
        _, unfinished = await asyncio.wait([stopping], timeout=FLUSH_TIMEOUT)
        if unfinished:
            self._exporter.shutdown()  # ends its retries
            await asyncio.wait([stopping])


def make_tracer(config: Config) -> Tracer:
    """A tracer that exports by OTLP over HTTP."""
    return Tracer(OTLPSpanExporter(), provider=config.dialects, with_content=config.trace_content)


def end_trace(run: RunSummary) -> None:
    if run.trace is not None:
        run.trace.end(run)
