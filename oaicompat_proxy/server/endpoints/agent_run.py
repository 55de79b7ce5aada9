"""The one handler of all client APIs: a request becomes a run of the agent, and the run an answer."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from ...api.protocol import ClientApi, Form
from ...config.settings import Config
from ...core.answer import Envelope
from ...core.answer_options import AnswerOptions
from ...core.message import Message
from ...core.request import AgentRequest, EntryChange
from ...core.turn import ConfirmationReply
from ...pipeline.answers import StreamedAnswer, WholeAnswer, new_translator
from ...translation.confirmations import Confirmation, find_result, restore
from ...translation.tool_call_ids import short_ids
from ...translation.translator import Translator
from ..answering.answer import OnComplete, send_answer
from ..context import CONTEXT, Handler, RequestContext
from ..event_loop import LARGE_REQUEST, yield_control
from ..http.answer_id import new_answer_id
from ..http.body import limits_of
from ..runtime import GatewayRuntime
from ..sessions.call_ids import AnswerIds, SessionOfRun, confirmation_rejected
from ..sessions.fingerprints import AnswerFingerprint
from ..sessions.lease import SessionRequest
from ..sessions.session_name import is_native, native_key, session_name
from ..sessions.sessions import Fingerprint
from ..upstream.approvals import can_confirm
from ..upstream.catalog import DEFAULT_MODEL
from ..upstream.continued_run import ContinuedRun
from ..upstream.event_source import EventSource
from .answer_points import set_points, with_new_token
from .counted_run import counting, settle
from .request_reading import read_request
from .run_opening import choose_server_tools, open_run, record

Answering = Coroutine[Any, Any, web.StreamResponse]


def new_handler(api: ClientApi, runtime: GatewayRuntime) -> Handler:
    """The handler of the API's endpoint. It raises ProxyError as long as nothing was sent; after that a failure is
    the end of the stream.
    """
    limits = limits_of(runtime.config)

    async def run_agent(request: web.Request) -> web.StreamResponse:
        context = request[CONTEXT]
        try:
            asked = await read_request(request, context, api, runtime, limits)
            if context.caller.counted:
                async with counting(context, api, asked):
                    return await (await _begin(request, context, api, runtime, asked))
            return await (await _begin(request, context, api, runtime, asked))
        finally:
            if context.entry is not None:
                await context.entry.release()

    return run_agent


async def _begin(
    request: web.Request, context: RequestContext, api: ClientApi, runtime: GatewayRuntime, asked: AgentRequest
) -> Answering:
    """The coroutine that answers the request. It alone holds what the client said, and lets go of it as soon as the
    agent has it: a long conversation does not stay in memory for as long as its answer takes. Raises ProxyError.
    """
    config, report, caller = runtime.config, context.report, context.caller
    model, size = asked.model or DEFAULT_MODEL, report.requested_bytes
    report.on_request(model, stream=asked.stream)
    if report.trace is not None:
        report.trace.on_request(asked.parameters, asked.messages)
    agent = await runtime.catalog.find(asked.model, caller)
    settings = runtime.per_model.for_model(model)
    plan = _plan(request, context, api, runtime, settings, asked)
    entries = api.request_entries(asked, plan.envelope)
    if context.kept is not None:
        await context.kept.open(entries, plan.first_body(queued=context.kept.background))
    elif entries:
        await runtime.stored_answers.add(caller.scope, entries)
    if entries or asked.change is not None:
        asked = replace(asked, stored_input=b"", change=None)
    if caller.user:
        asked = replace(asked, user=caller.user)
    if not asked.conversational:
        return _run(plan, asked, SessionRequest(agent, caller, model, messages=(), size=size))
    of_client = api.find_session(request.headers, asked)
    name = session_name(request.headers, asked.parameters, config.session_from, of_client)
    keeps_threads = settings.history == "last"
    wanted = SessionRequest(agent, caller, model, asked.messages, name, keeps_threads=keeps_threads, size=size)
    set_points(wanted, asked, runtime, settings, plan.envelope.id)
    if (result := find_result(asked.messages, asked.tool_names)) is not None:
        return await _go_on(plan, asked, wanted, result)
    if name and is_native(config, caller):
        wanted.key, wanted.native = native_key(runtime.upstream.dialect, agent, name, caller), True
    if short_ids(asked.messages):
        asked = replace(asked, messages=await runtime.call_ids.restore(asked.messages, caller.scope))
    return _run(plan, asked, wanted)


@dataclass(slots=True, eq=False)
class _Plan:
    """How the answer to one request is to be made. It holds nothing of what the client said, but for a change."""

    request: web.Request
    context: RequestContext
    api: ClientApi
    runtime: GatewayRuntime
    settings: Config
    """Those of the request's model."""
    options: AnswerOptions
    envelope: Envelope
    change: EntryChange | None

    def new_answer(self, translator: Translator, fingerprint: Fingerprint | None) -> StreamedAnswer | WholeAnswer:
        form, report = self.options.form, self.context.report
        observer = fingerprint if isinstance(fingerprint, AnswerFingerprint) else None
        if not self.options.stream:
            report.on_call(translator)
            builder = self.api.new_builder(self.envelope, form)
            return WholeAnswer(translator, builder, observer, max_size=self.settings.max_answer)
        encoder = self.api.new_encoder(self.envelope, form)
        report.on_call(translator, encoder)
        recording, comments = report.recording, self.settings.keep_alive_form == "comment"
        on_bytes, on_ping = (recording.client_bytes, recording.ping) if recording is not None else (None, None)
        return StreamedAnswer(translator, encoder, observer, on_bytes, on_ping=on_ping, pings_are_comments=comments)

    def send(
        self, run: EventSource, answer: StreamedAnswer | WholeAnswer, on_complete: OnComplete
    ) -> Coroutine[Any, Any, web.StreamResponse]:
        return send_answer(self.request, self.context, self.runtime.config, run, answer, on_complete)

    async def store(self, answer: StreamedAnswer | WholeAnswer) -> None:
        """Stores what later requests may refer to of the complete answer."""
        form = answer.encoder if isinstance(answer, StreamedAnswer) else answer.builder
        entries, context = self.api.answer_entries(form, self.options.form), self.context
        if self.change is not None and context.entry is not None:
            await context.entry.change(self.api, self.change, form)
        if context.caller.counted:
            await settle(context)
        if context.kept is not None:
            await context.kept.complete(entries)
        elif entries:
            await self.runtime.stored_answers.add(context.caller.scope, entries)

    def first_body(self, *, queued: bool) -> bytes:
        """Of a kept answer."""
        return self.api.first_body(self.envelope, self.options.form, queued=queued)

    def new_translator(self, ids: AnswerIds) -> Translator:
        config = self.settings
        return new_translator(
            self.options,
            sign=ids.ask,
            shorten=ids.shorten,
            secret=config.upstream_token,
            max_buffered=config.max_answer,
        )

    def new_ids(self, where: SessionOfRun, *, answerable: bool = True) -> AnswerIds:
        scope, ttl = self.context.caller.scope, self.settings.confirmation_ttl
        return self.runtime.call_ids.of_answer(scope, self.options.model, where, ttl=ttl, answerable=answerable)


def _plan(
    request: web.Request,
    context: RequestContext,
    api: ClientApi,
    runtime: GatewayRuntime,
    settings: Config,
    asked: AgentRequest,
) -> _Plan:
    model = asked.model or DEFAULT_MODEL
    envelope = Envelope(context.answer_id or new_answer_id(request, api), int(time.time()), model)
    if asked.wants_token or asked.session_token:
        asked = with_new_token(asked, runtime, settings, context.caller.scope, model, envelope.id)
    form: Form = api.form_of(asked, settings)
    asks = settings.confirmations == "ask"
    options = AnswerOptions(
        api=api.name,
        form=form,
        model=model,
        stream=asked.stream or (context.kept is not None and context.kept.background),
        tool_names=tuple(sorted(asked.tool_names)),
        tick_separator=settings.tick_separator,
        server_tools=choose_server_tools(api, settings.server_tools),
        tool_output_max=settings.tool_output_max,
        confirmations="deny" if asks and not asked.conversational else settings.confirmations,
        dialect=settings.dialect,
    )
    return _Plan(request, context, api, runtime, settings, options, envelope, asked.change)


async def _go_on(plan: _Plan, asked: AgentRequest, wanted: SessionRequest, result: Message) -> Answering:
    """What waits for this result goes on, or nothing does: it never begins another run. Raises InvalidRequest."""
    runtime = plan.runtime
    ids = runtime.call_ids
    if runtime.config.confirmations != "ask":
        raise confirmation_rejected("is not waited for, since this server asks for none")
    confirmation = await ids.read_confirmation(result, wanted.caller.scope, wanted.model)
    if runtime.upstream.dialect.gateway is not None:
        plan.options = replace(plan.options, resumed=True)
        return _resume(plan, wanted, confirmation)
    wanted.key = confirmation.question.session
    messages = await ids.restore(restore(asked.messages, confirmation), wanted.caller.scope)
    return _run(plan, replace(asked, messages=messages), wanted, confirmation.reply)


async def _run(
    plan: _Plan, asked: AgentRequest, wanted: SessionRequest, reply: ConfirmationReply | None = None
) -> web.StreamResponse:
    """`reply`: to what the session waits for, where that takes another run."""
    sessions, report = plan.runtime.sessions, plan.context.report
    report.on_queued()
    if report.recording is not None:
        wanted.on_wait = report.recording.wait_for
    if report.requested_bytes > LARGE_REQUEST:
        await yield_control()
    with await sessions.lease(wanted) as lease:
        report.on_started(lease.key)
        if (kept := plan.context.kept) is not None and kept.background:
            await kept.update(plan.first_body(queued=False))
        if report.headers:
            lease.upstream = lease.upstream.with_trace(report.headers, report.watch)
        if plan.options.server_tools != "hide":
            lease.upstream = lease.upstream.with_tool_activity()
        run = await open_run(sessions, report, asked, lease, plan.settings, plan.options, reply)
        answerable = plan.options.confirmations != "ask" or await can_confirm(lease.upstream)
        ids = plan.new_ids(lambda: (lease.key, lease.persistent), answerable=answerable)
        lease.answer = translator = plan.new_translator(ids)
        fingerprint = sessions.new_fingerprint(wanted) if asked.conversational else None
        del asked, wanted

        answer = plan.new_answer(translator, fingerprint)

        async def on_complete() -> None:
            lease.mark_delivered()
            await ids.share()
            await plan.store(answer)
            if fingerprint is not None:
                await sessions.store(lease, fingerprint)

        return await plan.send(run, answer, on_complete)


async def _resume(plan: _Plan, wanted: SessionRequest, confirmation: Confirmation) -> web.StreamResponse:
    """The rest of a run that waited; its session is still leased to the request that began it."""
    runtime, report = plan.runtime, plan.context.report
    sessions, upstream = runtime.sessions, runtime.upstream.with_credentials_of(wanted.caller)
    if plan.options.server_tools != "hide":
        upstream = upstream.with_tool_activity()
    run = ContinuedRun(upstream, confirmation, plan.settings)
    record(report, run, plan.options)
    question = confirmation.question
    ids = plan.new_ids(lambda: (question.session, question.lasting))
    translator = plan.new_translator(ids)
    report.on_queued()
    with await sessions.lease_continued(wanted, run, question.session) as lease:
        lease.answer = translator
        fingerprint = sessions.new_fingerprint(wanted) if lease.session is not None else None
        del wanted

        answer = plan.new_answer(translator, fingerprint)

        async def on_complete() -> None:
            await ids.share()
            await plan.store(answer)
            await sessions.store_continued(lease, fingerprint)

        report.on_started(question.session)
        report.on_run(run)
        return await plan.send(run, answer, on_complete)
