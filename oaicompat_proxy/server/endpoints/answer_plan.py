"""The plan of one answer: its options, its form, and what is stored of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from ...api.protocol import ClientApi, Form
from ...config.settings import Config
from ...core.answer import Envelope
from ...core.answer_options import AnswerOptions
from ...core.errors import ProxyError
from ...core.request import AgentRequest, EntryChange
from ...pipeline.answers import StreamedAnswer, WholeAnswer
from ...translation.structured.structured_answer import OutputCheck, PartSource, StructuredAnswer
from ...translation.translator import Translator
from ..answering.answer import OnComplete, send_answer
from ..context import RequestContext
from ..http.answer_id import new_answer_id
from ..runtime import GatewayRuntime
from ..sessions.call_ids import AnswerIds, SessionOfRun
from ..sessions.fingerprints import AnswerFingerprint
from ..sessions.sessions import Fingerprint
from ..upstream.catalog import DEFAULT_MODEL
from ..upstream.event_source import EventSource
from .answer_points import with_new_token
from .counted_run import count_usage
from .run_opening import choose_server_tools
from .structured_output import new_check


@dataclass(slots=True, eq=False)
class AnswerPlan:
    """The plan of one answer. It holds nothing of the conversation but `change`."""

    request: web.Request
    context: RequestContext
    api: ClientApi
    runtime: GatewayRuntime
    settings: Config
    """The settings of the request's model."""
    options: AnswerOptions
    envelope: Envelope
    change: EntryChange | None
    check: OutputCheck | None = None
    """Checks the answer's text against the requested format."""

    async def hold_to_format(self, asked: AgentRequest) -> None:
        """Applies the JSON format that the request asks for, if any. Raises InvalidRequest."""
        wanted = self.api.format_of(asked)
        if wanted is None:
            return
        self.options = replace(self.options, strip_fences=self.settings.structured_strip_fences)
        if self.settings.structured == "check":
            size = self.context.report.requested_bytes
            self.check = await new_check(wanted, size, self.context.server.processor)

    def new_answer(self, translator: Translator, fingerprint: Fingerprint | None) -> StreamedAnswer | WholeAnswer:
        form, report = self.options.form, self.context.report
        source: PartSource = translator
        if self.check is not None or self.options.strip_fences:
            source = StructuredAnswer(translator, strip_fences=self.options.strip_fences, check=self.check)
        observer = fingerprint if isinstance(fingerprint, AnswerFingerprint) else None
        if not self.options.stream:
            report.on_call(translator)
            builder = self.api.new_builder(self.envelope, form, _now)
            return WholeAnswer(source, builder, observer, max_size=self.settings.max_answer)
        encoder = self.api.new_encoder(self.envelope, form, _now)
        report.on_call(translator, encoder)
        recording, comments = report.recording, self.settings.keep_alive_form == "comment"
        on_bytes, on_ping = (recording.client_bytes, recording.ping) if recording is not None else (None, None)
        return StreamedAnswer(source, encoder, observer, on_bytes, on_ping=on_ping, pings_are_comments=comments)

    def send(
        self, run: EventSource, answer: StreamedAnswer | WholeAnswer, on_complete: OnComplete
    ) -> Coroutine[Any, Any, web.StreamResponse]:
        config, on_failure = self.runtime.config, self.store_failure
        return send_answer(self.request, self.context, config, run, answer, on_complete, on_failure)

    async def store_request(self, asked: AgentRequest) -> AgentRequest:
        """Stores the parts of the request that later requests may refer to, and returns the request without them."""
        entries, context = self.api.request_entries(asked, self.envelope), self.context
        if context.kept is not None:
            await context.kept.open(entries, self.first_body(queued=context.kept.background))
        elif entries:
            await self.runtime.stored_answers.add(context.caller.scope, entries)
        return replace(asked, stored_input=b"", change=None) if entries or asked.change is not None else asked

    async def store(self, answer: StreamedAnswer | WholeAnswer, *, of_run: bool = True) -> None:
        """Stores the parts of the complete answer that later requests may refer to. `of_run`: a run made the answer."""
        form = answer.encoder if isinstance(answer, StreamedAnswer) else answer.builder
        entries, context = self.api.answer_entries(form, self.options.form), self.context
        if self.change is not None and context.entry is not None:
            await context.entry.change(self.api, self.change, form)
        if of_run and context.caller.counted:
            await count_usage(context)
        if context.kept is not None:
            await context.kept.complete(entries)
        elif entries:
            await self.runtime.stored_answers.add(context.caller.scope, entries)

    async def store_failure(self, answer: StreamedAnswer, failure: ProxyError) -> None:
        """Stores the failed answer, whose id the client has. The record of a kept answer is ended by its run."""
        if not self.api.keeps_answers or self.context.kept is not None:
            return
        entries = self.api.answer_entries(answer.encoder, self.options.form)
        if self.envelope.id not in entries:  # not to be stored, or too long
            return
        body = self.api.last_body(self.first_body(queued=False), failure, answer.encoder)
        with contextlib.suppress(ProxyError):
            await self.runtime.stored_answers.add(self.context.caller.scope, {self.envelope.id: body})

    def first_body(self, *, queued: bool) -> bytes:
        """The first body of a kept answer. `queued`: the run has not begun."""
        return self.api.first_body(self.envelope, self.options.form, queued=queued)

    def new_translator(self, ids: AnswerIds) -> Translator:
        config = self.settings
        return Translator(self.options, ids.ask, ids.shorten, config.upstream_token, config.max_answer)

    def new_ids(self, where: SessionOfRun, *, answerable: bool = True) -> AnswerIds:
        scope, ttl = self.context.caller.scope, self.settings.confirmation_ttl
        return self.runtime.call_ids.of_answer(scope, self.options.model, where, ttl=ttl, answerable=answerable)


def new_plan(
    request: web.Request,
    context: RequestContext,
    api: ClientApi,
    runtime: GatewayRuntime,
    settings: Config,
    asked: AgentRequest,
) -> AnswerPlan:
    model = asked.model or DEFAULT_MODEL
    envelope = Envelope(context.answer_id or new_answer_id(request, api), _now(), model)
    if asked.wants_token or asked.session_token:
        asked = with_new_token(asked, runtime, settings, context.caller.scope, model, envelope.id)
    form: Form = api.form_of(asked, settings)
    asks = settings.confirmations == "ask"
    stream = asked.stream or (context.kept is not None and context.kept.background)
    tool_names = tuple(sorted(asked.tool_names)) if asked.tool_names else ()
    server_tools = choose_server_tools(api, settings.server_tools)
    confirmations = "deny" if asks and not asked.conversational else settings.confirmations
    resumed = strip_fences = False
    # by position, as in `chat/request.py`
    options = AnswerOptions(
        api.name,
        form,
        model,
        stream,
        tool_names,
        settings.tick_separator,
        server_tools,
        settings.tool_output_max,
        confirmations,
        resumed,
        strip_fences,
        settings.dialect,
    )
    return AnswerPlan(request, context, api, runtime, settings, options, envelope, asked.change)


def _now() -> int:
    return int(time.time())
