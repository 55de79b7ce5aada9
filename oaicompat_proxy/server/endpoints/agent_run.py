"""The handler of all client APIs: turns a request into a run of the agent, and the run into an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from aiohttp import web

from ...api.protocol import ClientApi
from ...config.settings import Config
from ...core.caller import Caller
from ...core.errors import ProxyError
from ...core.message import Message
from ...core.request import AgentRequest, RequestLimits
from ...core.turn import ConfirmationReply
from ...pipeline.answers import StreamedAnswer, WholeAnswer
from ...translation.confirmations import Confirmation, find_result, restore
from ...translation.side_requests import find_side_request
from ...translation.tool_call_ids import short_ids
from ...translation.translator import Translator
from ..answering.known_answer import KnownAnswer
from ..context import CONTEXT, Handler, RequestContext
from ..event_loop.yielding import LARGE_REQUEST, yield_control
from ..http.body import limits_of
from ..observability.run_report import RunReport
from ..runtime import GatewayRuntime
from ..sessions.call_ids import AnswerIds, confirmation_rejected
from ..sessions.lease import Lease, SessionRequest
from ..sessions.session_name import is_native, native_key, session_name
from ..sessions.sessions import Fingerprint
from ..upstream.approvals import can_confirm
from ..upstream.catalog import DEFAULT_MODEL
from ..upstream.continued_run import ContinuedRun
from .answer_plan import AnswerPlan, new_plan
from .answer_points import set_points
from .counted_run import counting
from .request_reading import read_request
from .run_opening import open_run, record
from .structured_output import wants_json

Answering = Coroutine[Any, Any, web.StreamResponse]


def new_handler(api: ClientApi, runtime: GatewayRuntime) -> Handler:
    """The handler of the API's endpoint. It raises ProxyError as long as nothing was sent; later failures end the
    stream.
    """
    limits = limits_of(runtime.config)

    async def run_agent(request: web.Request) -> web.StreamResponse:
        context = request[CONTEXT]
        try:
            if context.caller.counted:
                return await _count(request, context, api, runtime, limits)
            asked = await read_request(request, context, api, runtime, limits)
            answering = await _begin(request, context, api, runtime, asked)
            del asked  # frees the conversation: the answer may take an hour
            return await answering
        finally:
            if context.entry is not None:
                await context.entry.release()

    return run_agent


async def _count(
    request: web.Request, context: RequestContext, api: ClientApi, runtime: GatewayRuntime, limits: RequestLimits
) -> web.StreamResponse:
    """Answers a request of a caller whose usage is counted."""
    asked = await read_request(request, context, api, runtime, limits)
    async with counting(context, api, asked):
        answering = await _begin(request, context, api, runtime, asked)
        del asked
        return await answering


async def _begin(
    request: web.Request, context: RequestContext, api: ClientApi, runtime: GatewayRuntime, asked: AgentRequest
) -> Answering:
    """The coroutine that answers the request. Only it refers to the conversation, and drops it once the agent has it:
    a long conversation must not stay in memory until its answer ends. Raises ProxyError."""
    config, report, caller = runtime.config, context.report, context.caller
    model, size = asked.model or DEFAULT_MODEL, report.requested_bytes
    report.on_request(model, stream=asked.stream)
    if report.trace is not None:
        report.trace.on_request(asked.parameters, asked.messages)
    settings = runtime.per_model.for_model(model)
    known_answer = ""
    if settings.side_requests != "run":
        asked, known_answer = _find_side_request(asked, caller, settings, report)
        model = asked.model or DEFAULT_MODEL
        settings = runtime.per_model.for_model(model)
    if runtime.catalog.has_patterns:
        await runtime.catalog.refresh_for(asked.model, caller)
    agent = runtime.catalog.resolve(asked.model, caller)
    plan = new_plan(request, context, api, runtime, settings, asked)
    if wants_json(settings):
        await plan.hold_to_format(asked)
    asked = await plan.store_request(asked) if api.keeps_answers else asked
    if known_answer:
        return _answer(plan, known_answer)
    if not asked.conversational:
        return _run(plan, asked, SessionRequest(agent, caller, model, messages=(), size=size))
    of_client = api.find_session(request.headers, asked)
    name = session_name(request.headers, asked.parameters, config.session_from, of_client)
    wanted = SessionRequest(agent, caller, model, asked.messages, name)
    wanted.keeps_threads, wanted.size = settings.history == "last", size
    set_points(wanted, asked, runtime, settings, plan.envelope.id)
    if (result := find_result(asked.messages, asked.tool_names)) is not None:
        return await _go_on(plan, asked, wanted, result)
    if name and is_native(config, caller):
        wanted.key, wanted.native = native_key(runtime.upstream.dialect, agent, name, caller), True
    if short_ids(asked.messages):
        asked = replace(asked, messages=await runtime.call_ids.restore(asked.messages, caller.scope))
    return _run(plan, asked, wanted)


def _find_side_request(
    asked: AgentRequest, caller: Caller, settings: Config, report: RunReport
) -> tuple[AgentRequest, str]:
    """Applies the setting `side_requests`. Returns the request, and its answer if that needs no run.

    The setting may choose another model, if the caller may use it; the request then has a session of its own.
    """
    found = find_side_request(asked)
    if found is None:
        return asked, ""
    report.side_request = found.kind
    if settings.side_requests == "answer":
        return asked, found.answer
    name = settings.side_requests.removeprefix("model:")
    return replace(asked, model=name if caller.may_use(name) else asked.model, conversational=False), ""


async def _answer(plan: AnswerPlan, text: str) -> web.StreamResponse:
    """Sends an answer without a run: it is not recorded, and needs no session and no permit."""
    plan.context.report.recording = None
    answer = plan.new_answer(Translator(plan.options), None)

    async def on_complete() -> None:
        await plan.store(answer, of_run=False)

    return await plan.send(KnownAnswer(text), answer, on_complete)


async def _go_on(plan: AnswerPlan, asked: AgentRequest, wanted: SessionRequest, result: Message) -> Answering:
    """Continues the run that waits for this result. Raises InvalidRequest if none does: no other run is begun."""
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
    await ids.claim(confirmation)
    return _run_once(plan, replace(asked, messages=messages), wanted, confirmation)


async def _run_once(
    plan: AnswerPlan, asked: AgentRequest, wanted: SessionRequest, confirmation: Confirmation
) -> web.StreamResponse:
    """Runs the agent with a confirmation, which another request may give again only if the agent did not act."""
    began = True
    answering = _run(plan, asked, wanted, confirmation.reply)
    del asked, wanted
    try:
        return await answering
    except ProxyError as error:
        began = error.should_retry is False
        raise
    except asyncio.CancelledError:
        began = plan.context.report.has_begun(resumed=False)
        raise
    finally:
        if not began:
            await plan.runtime.call_ids.release(confirmation)


async def _run(
    plan: AnswerPlan, asked: AgentRequest, wanted: SessionRequest, reply: ConfirmationReply | None = None
) -> web.StreamResponse:
    """`reply`: the confirmation for which the session waits, if the dialect needs another run for it."""
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
        user = plan.context.caller.user
        run = await open_run(sessions, report, asked, lease, plan.settings, plan.options, reply, user)
        answerable = plan.options.confirmations != "ask" or await can_confirm(lease.upstream)
        ids = plan.new_ids(lease.session_of_run, answerable=answerable)
        lease.answer = translator = plan.new_translator(ids)
        fingerprint = sessions.new_fingerprint(wanted) if asked.conversational else None
        del asked, wanted

        answer = plan.new_answer(translator, fingerprint)
        return await plan.send(run, answer, _Completion(plan, lease, ids, answer, fingerprint).complete)


class _Completion:
    """Completes an answer. An object, because a closure takes 400 bytes more memory while the answer is streamed."""

    __slots__ = ("_answer", "_fingerprint", "_ids", "_lease", "_plan")

    def __init__(
        self,
        plan: AnswerPlan,
        lease: Lease,
        ids: AnswerIds,
        answer: StreamedAnswer | WholeAnswer,
        fingerprint: Fingerprint | None,
    ) -> None:
        self._plan = plan
        self._lease = lease
        self._ids = ids
        self._answer = answer
        self._fingerprint = fingerprint

    async def complete(self) -> None:
        self._lease.mark_delivered()
        if self._ids.stored:
            await self._ids.share()
        await self._plan.store(self._answer)
        if self._fingerprint is not None:
            await self._plan.runtime.sessions.store(self._lease, self._fingerprint)


async def _resume(plan: AnswerPlan, wanted: SessionRequest, confirmation: Confirmation) -> web.StreamResponse:
    """Continues a waiting run. Its session is still leased to the request that began the run."""
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
