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
from ...core.request import AgentRequest, RequestLimits
from ...core.turn import ConfirmationReply
from ...pipeline.answers import StreamedAnswer, WholeAnswer, new_translator
from ...translation.confirmations import Confirmation, find_result, restore
from ...translation.tool_call_ids import short_ids
from ...translation.translator import Translator
from ..answering.answer import send_answer
from ..context import CONTEXT, Handler
from ..http.body import take_body
from ..random_ids import new_id
from ..runtime import RUNTIME
from ..sessions.call_ids import AnswerIds, SessionOfRun, confirmation_rejected
from ..sessions.fingerprints import AnswerFingerprint
from ..sessions.lease import SessionRequest
from ..sessions.session_name import is_native, native_key, session_name
from ..turns import LARGE, give_way
from ..upstream.approvals import can_confirm
from ..upstream.catalog import DEFAULT_MODEL
from ..upstream.continued_run import ContinuedRun
from .run_opening import open_run, record

Answering = Coroutine[Any, Any, web.StreamResponse]


def new_handler(api: ClientApi) -> Handler:
    """The handler of the API's endpoint. It raises ProxyError as long as nothing was sent; after that a failure is
    the end of the stream.
    """

    async def run_agent(request: web.Request) -> web.StreamResponse:
        return await (await _begin(request, api, await _read(request, api)))

    return run_agent


async def _read(request: web.Request, api: ClientApi) -> AgentRequest:
    """Raises what `take_body` and the parser raise."""
    config, report = request.app[RUNTIME].config, request[CONTEXT].report
    body = await take_body(request, timeout=config.body_timeout)
    report.on_body(len(body))
    limits = RequestLimits(
        media=config.max_media,
        messages=config.max_messages,
        parts=config.max_parts,
        tools=config.max_tools,
        text=config.max_text,
        values=config.max_values,
    )
    parsed = api.read(body, limits)
    del body
    if parsed.size > LARGE:
        await give_way()
    if names := api.find_references(parsed):
        answers, scope = request.app[RUNTIME].stored_answers, request[CONTEXT].caller.scope
        parsed = api.expand(parsed, await answers.find(scope, names, most=config.max_text))
        if parsed.size > LARGE:
            await give_way()
    return api.build_request(parsed, limits)


async def _begin(request: web.Request, api: ClientApi, asked: AgentRequest) -> Answering:
    """The coroutine that answers the request. It alone holds what the client said, and lets go of it as soon as the
    agent has it: a long conversation does not stay in memory for as long as its answer takes. Raises ProxyError.
    """
    runtime, context = request.app[RUNTIME], request[CONTEXT]
    config, report, caller = runtime.config, context.report, context.caller
    model, size = asked.model or DEFAULT_MODEL, report.requested_bytes
    report.on_request(model, stream=asked.stream)
    if report.trace is not None:
        report.trace.on_request(asked.parameters, asked.messages)
    agent = await runtime.catalog.find(asked.model, caller)
    settings = runtime.per_model.for_model(model)
    plan = _plan(api, asked, settings)
    if entries := api.request_entries(asked, plan.envelope):
        await runtime.stored_answers.add(caller.scope, entries)
        asked = replace(asked, stored_input=b"")
    if not asked.conversational:
        return _run(request, asked, SessionRequest(agent, caller, model, messages=(), size=size), plan)
    of_client = api.find_session(request.headers, asked)
    name = session_name(request.headers, asked.parameters, config.session_from, of_client)
    keeps_threads = settings.history == "last"
    wanted = SessionRequest(agent, caller, model, asked.messages, name, keeps_threads=keeps_threads, size=size)
    if (result := find_result(asked.messages, asked.tool_names)) is not None:
        return await _go_on(request, asked, wanted, plan, result)
    if name and is_native(config, caller):
        wanted.key, wanted.native = native_key(runtime.upstream.dialect, agent, name, caller), True
    if short_ids(asked.messages):
        asked = replace(asked, messages=await runtime.call_ids.restore(asked.messages, caller.scope))
    return _run(request, asked, wanted, plan)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the answer is to be made."""

    api: ClientApi
    options: AnswerOptions
    envelope: Envelope
    settings: Config
    """Those of the request's model."""

    def new_answer(
        self, translator: Translator, fingerprint: AnswerFingerprint | None, request: web.Request
    ) -> StreamedAnswer | WholeAnswer:
        form, report = self.options.form, request[CONTEXT].report
        if not self.options.stream:
            report.on_call(translator)
            builder = self.api.new_builder(self.envelope, form)
            return WholeAnswer(translator, builder, fingerprint, max_size=self.settings.max_answer)
        encoder = self.api.new_encoder(self.envelope, form)
        report.on_call(translator, encoder)
        on_bytes = report.recording.client_bytes if report.recording is not None else None
        comments = self.settings.keep_alive_form == "comment"
        return StreamedAnswer(translator, encoder, fingerprint, on_bytes, pings_are_comments=comments)

    async def store(self, answer: StreamedAnswer | WholeAnswer, request: web.Request) -> None:
        """Stores what later requests may refer to of the complete answer."""
        form = answer.encoder if isinstance(answer, StreamedAnswer) else answer.builder
        if entries := self.api.answer_entries(form, self.options.form):
            await request.app[RUNTIME].stored_answers.add(request[CONTEXT].caller.scope, entries)

    def new_translator(self, ids: AnswerIds) -> Translator:
        config = self.settings
        return new_translator(
            self.options, sign=ids.ask, shorten=ids.shorten, secret=config.upstream_token, max_held=config.max_answer
        )


def _plan(api: ClientApi, asked: AgentRequest, settings: Config) -> _Plan:
    form: Form = api.form_of(asked, settings)
    model = asked.model or DEFAULT_MODEL
    asks = settings.confirmations == "ask"
    options = AnswerOptions(
        api=api.name,
        form=form,
        model=model,
        stream=asked.stream,
        tool_names=tuple(sorted(asked.tool_names)),
        tick_separator=settings.tick_separator,
        server_tools=_server_tools(api, settings.server_tools),
        tool_output_max=settings.tool_output_max,
        confirmations="deny" if asks and not asked.conversational else settings.confirmations,
        dialect=settings.dialect,
    )
    return _Plan(api, options, Envelope(api.id_prefix + new_id(), int(time.time()), model), settings)


def _server_tools(api: ClientApi, setting: str) -> str:
    if setting == "auto":
        return "items" if api.has_tool_items else "hide"
    return setting


async def _go_on(
    request: web.Request, asked: AgentRequest, wanted: SessionRequest, plan: _Plan, result: Message
) -> Answering:
    """What waits for this result goes on, or nothing does: it never begins another run. Raises InvalidRequest."""
    runtime = request.app[RUNTIME]
    ids = runtime.call_ids
    if runtime.config.confirmations != "ask":
        raise confirmation_rejected("is not waited for, since this server asks for none")
    confirmation = await ids.read_confirmation(result, wanted.caller.scope, wanted.model)
    if runtime.upstream.dialect.gateway is not None:
        return _resume(request, wanted, replace(plan, options=replace(plan.options, resumed=True)), confirmation)
    wanted.key = confirmation.question.session
    messages = await ids.restore(restore(asked.messages, confirmation), wanted.caller.scope)
    return _run(request, replace(asked, messages=messages), wanted, plan, confirmation.reply)


async def _run(
    request: web.Request,
    asked: AgentRequest,
    wanted: SessionRequest,
    plan: _Plan,
    reply: ConfirmationReply | None = None,
) -> web.StreamResponse:
    """`reply`: to what the session waits for, where that takes another run."""
    sessions, report = request.app[RUNTIME].sessions, request[CONTEXT].report
    report.on_queued()
    if report.requested_bytes > LARGE:
        await give_way()
    async with await sessions.lease(wanted) as lease:
        report.on_started(lease.key)
        if report.headers:
            lease.upstream = lease.upstream.with_trace(report.headers, report.watch)
        if plan.options.server_tools != "hide":
            lease.upstream = lease.upstream.with_tool_activity()
        run = await open_run(request, asked, lease, plan.settings, plan.options, reply)
        answerable = plan.options.confirmations != "ask" or await can_confirm(lease.upstream)
        ids = _ids(request, wanted, plan, lambda: (lease.key, lease.persistent), answerable=answerable)
        lease.answer = translator = plan.new_translator(ids)
        fingerprint = sessions.new_fingerprint(wanted) if asked.conversational else None
        del asked, wanted

        answer = plan.new_answer(translator, fingerprint, request)

        async def on_complete() -> None:
            lease.mark_delivered()
            await ids.share()
            await plan.store(answer, request)
            await sessions.store(lease, fingerprint)

        return await send_answer(request, run, answer, on_complete)


async def _resume(
    request: web.Request, wanted: SessionRequest, plan: _Plan, confirmation: Confirmation
) -> web.StreamResponse:
    """The rest of a run that waited; its session is still leased to the request that began it."""
    runtime, report = request.app[RUNTIME], request[CONTEXT].report
    sessions, upstream = runtime.sessions, runtime.upstream.with_credentials_of(wanted.caller)
    if plan.options.server_tools != "hide":
        upstream = upstream.with_tool_activity()
    run = ContinuedRun(upstream, confirmation, plan.settings)
    record(report, run, plan.options)
    question = confirmation.question
    ids = _ids(request, wanted, plan, lambda: (question.session, question.lasting))
    translator = plan.new_translator(ids)
    report.on_queued()
    async with await sessions.lease_continued(wanted, run, question.session) as lease:
        lease.answer = translator
        fingerprint = sessions.new_fingerprint(wanted) if lease.session is not None else None
        del wanted

        answer = plan.new_answer(translator, fingerprint, request)

        async def on_complete() -> None:
            await ids.share()
            await plan.store(answer, request)
            await sessions.store_continued(lease, fingerprint)

        report.on_started(question.session)
        report.on_run(run)
        return await send_answer(request, run, answer, on_complete)


def _ids(
    request: web.Request, wanted: SessionRequest, plan: _Plan, where: SessionOfRun, *, answerable: bool = True
) -> AnswerIds:
    ttl = plan.settings.confirmation_ttl
    ids = request.app[RUNTIME].call_ids
    return ids.of_answer(wanted.caller.scope, wanted.model, where, ttl=ttl, answerable=answerable)
