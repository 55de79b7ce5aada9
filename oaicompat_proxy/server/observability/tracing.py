"""One span for each run, by OpenTelemetry: continued from the client's trace, passed on to the gateway.

Imported only if `trace` is on: it needs the packages of the extra `tracing`. Where spans go, which are sampled and
what they say of this process is told by OpenTelemetry's own variables, `OTEL_…`.
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
from .run_report import RunReport
from .run_trace import RunTrace

FLUSH = 3.0
"""Seconds at the end of the process for spans that are not sent yet; a collector that is gone gets no more."""

SERVICE = "oaicompat-proxy"
"""`service.name`, unless the environment has another."""


class Tracer:
    """Begins the trace of each run; the run's report ends it."""

    def __init__(self, exporter: SpanExporter, *, provider: str, with_content: bool) -> None:
        """`provider`: the agent's dialect. `with_content`: also what is said goes into spans."""
        ours = Resource.create({"service.name": SERVICE, "service.version": __version__})
        self._exporter = exporter
        self._provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("oaicompat_proxy", __version__)
        self._provider_name = provider
        self._with_content = with_content

    def begin(self, report: RunReport, headers: Mapping[str, str]) -> None:
        """Continues the trace that the client's headers name, if they do, and makes the headers for the gateway."""
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
            report.watch = report.trace.see

    async def stop(self) -> None:
        """Sends what is left, for a while."""
        stopping = asyncio.create_task(asyncio.to_thread(self._provider.shutdown), name="send last traces")
        _, unfinished = await asyncio.wait([stopping], timeout=FLUSH)
        if unfinished:
            self._exporter.shutdown()  # it tries no more
            await asyncio.wait([stopping])


def make_tracer(config: Config) -> Tracer:
    """One that sends by OTLP over HTTP."""
    return Tracer(OTLPSpanExporter(), provider=config.dialects, with_content=config.trace_content)


def end_trace(report: RunReport) -> None:
    if report.trace is not None:
        report.trace.end(report)
