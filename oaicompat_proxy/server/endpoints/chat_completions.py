"""`POST …/chat/completions`: a conversation's next message."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from aiohttp import web

from ...api.openai.chat.collector import Collector
from ...api.openai.chat.encoder import ChunkEncoder
from ...api.openai.chat.request import RequestLimits, build_request, take_exact_parameters
from ...api.openai.json_body import parse_json
from ...config.settings import Config
from ...core.answer import Envelope
from ...core.caller import Caller
from ...core.message import Message
from ...core.request import AgentRequest
from ...core.turn import ConfirmationReply, Turn
from ...translation.confirmations import Confirmation, find_result, restore
from ...translation.prompt import build_turn
from ...translation.tool_call_ids import short_ids
from ...translation.translator import Translator
from ..answering.answer import Ending, collect_answer, stream_answer
from ..context import CALLER, CONFIG, PER_MODEL
from ..http.body import take_body
from ..observability.run_report import REPORT
from ..random_ids import new_id
from ..recording.recorder import Recordable, tap
from ..sessions.call_ids import CALL_IDS, AnswerIds, SessionOfRun, confirmation_rejected
from ..sessions.fingerprints import AnswerFingerprint
from ..sessions.lease import Lease, SessionRequest
from ..sessions.message_trial import TrialRun, find_messages, new_mark
from ..sessions.run_start import start
from ..sessions.session_check import SessionCheckingRun
from ..sessions.session_name import is_native, native_key, session_name
from ..sessions.sessions import SESSIONS
from ..turns import give_way
from ..upstream.approvals import ContinuedRun, can_confirm
from ..upstream.catalog import CATALOG, DEFAULT_MODEL
from ..upstream.event_source import EventSource
from ..upstream.gateway_client import UPSTREAM

Answering = Coroutine[Any, Any, web.StreamResponse]


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Raises ProxyError as long as nothing was sent; after that a failure is the stream's last frame."""
    return await (await _begin(request, await _read(request)))


async def _read(request: web.Request) -> AgentRequest:
    """Raises what `read_body` and the parser raise."""
    config, report = request.app[CONFIG], request[REPORT]
    body = await take_body(request)
    size = len(body)
    report.note_body(size)
    parsed = parse_json(body, max_values=config.max_values)
    exact = take_exact_parameters(body, parsed)
    del body
    await give_way(size)
    limits = RequestLimits(
        media=config.max_media,
        messages=config.max_messages,
        parts=config.max_parts,
        tools=config.max_tools,
        text=config.max_text,
    )
    return build_request(parsed, exact, size, limits)


async def _begin(request: web.Request, chat: AgentRequest) -> Answering:
    """What is to be done for a request. It alone holds what the client said, and lets go of it when it is passed on:
    a long conversation is not to be in memory for as long as its answer takes. Raises ProxyError.
    """
    app = request.app
    config, report = app[CONFIG], request[REPORT]
    model, size = chat.model or DEFAULT_MODEL, report.requested_bytes
    report.note_request(model, stream=chat.stream)
    if report.trace is not None:
        report.trace.note_request(chat.parameters, chat.messages)
    caller = request[CALLER]
    agent = await app[CATALOG].find(chat.model, caller)
    name = session_name(request.headers, chat.parameters, config.session_from)
    keeps_threads = app[PER_MODEL].of(model).history == "last"
    wanted = SessionRequest(agent, caller, model, chat.messages, name, keeps_threads=keeps_threads, size=size)
    if (result := find_result(chat.messages, chat.tool_names)) is not None:
        return await _go_on(request, chat, wanted, result)
    if name and is_native(config, caller):
        wanted.key, wanted.native = native_key(app[UPSTREAM].dialect, agent, name, caller), True
    if short_ids(chat.messages):
        chat = replace(chat, messages=await app[CALL_IDS].restore(chat.messages, caller.scope))
    return _run(request, chat, wanted)


async def _go_on(request: web.Request, chat: AgentRequest, wanted: SessionRequest, result: Message) -> Answering:
    """What waits for this result goes on, or nothing does: it never begins another run. Raises InvalidRequest."""
    app, ids = request.app, request.app[CALL_IDS]
    if app[CONFIG].confirmations != "ask":
        raise confirmation_rejected("is not waited for, since this server asks for none")
    confirmation = await ids.read_confirmation(result, wanted.caller.scope, wanted.model)
    if app[UPSTREAM].dialect.gateway is not None:
        return _resume(request, chat, wanted, confirmation)
    wanted.key = confirmation.question.session
    messages = await ids.restore(restore(chat.messages, confirmation), wanted.caller.scope)
    return _run(request, replace(chat, messages=messages), wanted, confirmation.answer)


async def _run(
    request: web.Request, chat: AgentRequest, wanted: SessionRequest, answer: ConfirmationReply | None = None
) -> web.StreamResponse:
    """`answer`: to what the session waits for, where that takes another run."""
    app = request.app
    config, sessions, report = app[PER_MODEL].of(wanted.model), app[SESSIONS], request[REPORT]
    size = report.requested_bytes
    report.note_wait()
    await give_way(size)
    async with await sessions.lease(wanted) as lease:
        report.note_turn(lease.key)
        if report.headers:
            lease.upstream = lease.upstream.observed(report.headers, report.watch)
        run = await _begin_run(request, chat, lease, config, answer)
        answerable = config.confirmations != "ask" or await can_confirm(lease.upstream)
        caller, model = wanted.caller, wanted.model
        ids = _ids(app, config, caller, model, lambda: (lease.key, lease.persistent), answerable=answerable)
        lease.answer = translator = _translator(config, chat, ids)
        fingerprint = sessions.new_fingerprint(wanted)
        form = _form(chat, config)
        del chat, wanted

        async def ending() -> None:
            lease.mark_delivered()
            await ids.share()
            await sessions.store(lease, fingerprint)

        return await _answer(request, run, translator, form, ending, fingerprint)


async def _begin_run(
    request: web.Request, chat: AgentRequest, lease: Lease, config: Config, answer: ConfirmationReply | None
) -> EventSource:
    """A run of the lease; in a session that should know what was said, one that finds out whether it does."""
    report, gateway = request[REPORT], lease.upstream.dialect.gateway
    size = report.requested_bytes
    mark = await _new_mark(chat, lease, config)

    async def begin() -> EventSource:
        await give_way(size)
        turn = _turn(chat, lease, config, answer, "" if lease.replaced else mark)
        await give_way(size)
        run = start(lease, turn, approves=config.confirmations == "approve")
        del turn
        await give_way(size)
        assert lease.run is not None
        report.session = lease.key
        if lease.replaced and report.scribe is not None:
            lease.run.on_gateway_bytes = report.scribe.native  # nothing was read of the run before it
        elif report.scribe is not None:
            _record(request, chat, lease.run)
        report.note_run(lease.run)
        return run

    run = await begin()
    if mark and gateway is not None:
        return TrialRun(lease, request.app[SESSIONS], gateway, run, mark, again=begin)
    if gateway is None or not (lease.primary or lease.matched_fingerprint):
        return run
    return SessionCheckingRun(lease, request.app[SESSIONS], gateway, run, again=begin)


async def _resume(
    request: web.Request, chat: AgentRequest, wanted: SessionRequest, confirmation: Confirmation
) -> web.StreamResponse:
    """The rest of a run that waited; its session is still leased to the request that began it."""
    app, model, caller = request.app, wanted.model, wanted.caller
    config, upstream = app[PER_MODEL].of(model), app[UPSTREAM].speaking_for(caller)
    run = ContinuedRun(upstream, confirmation, config)
    report = request[REPORT]
    if report.scribe is not None:
        _record(request, chat, run, resumed=True)
    question = confirmation.question
    ids = _ids(app, config, caller, model, lambda: (question.session, question.lasting))
    translator = _translator(config, chat, ids)
    form = _form(chat, config)
    sessions = app[SESSIONS]
    del chat
    report.note_wait()
    async with await sessions.lease_continued(wanted, run, question.session) as lease:
        lease.answer = translator
        fingerprint = sessions.new_fingerprint(wanted) if lease.session is not None else None
        del wanted

        async def ending() -> None:
            await ids.share()
            await sessions.store_continued(lease, fingerprint)

        report.note_turn(question.session)
        report.note_run(run)
        return await _answer(request, run, translator, form, ending, fingerprint)


def _history(lease: Lease, config: Config) -> str:
    """`last` is no licence to forget: under a name it holds where the session has answered what stands before."""
    if config.history == "auto" or (config.history == "last" and (lease.named or lease.replaced)):
        return lease.history
    return config.history


async def _new_mark(chat: AgentRequest, lease: Lease, config: Config) -> str:
    """For a conversation that is to be sent as messages to a gateway of which only a run can tell whether it takes
    them: in a session that nobody else needs, should the run have to be stopped.
    """
    if config.history != "full" or lease.upstream.dialect.gateway is None or len(chat.messages) == 1:
        return ""
    known = await find_messages(lease.upstream)
    return new_mark() if known is None and lease.history == "fold" else ""


def _in_roles(lease: Lease, mark: str) -> str:
    """What `full` is with a gateway: all messages, or those that are new to the session, if it takes them."""
    if not (mark or lease.upstream.features.messages.works):
        return lease.history
    return "full" if lease.history == "fold" else "new"


def _turn(chat: AgentRequest, lease: Lease, config: Config, answer: ConfirmationReply | None, mark: str) -> Turn:
    history = _history(lease, config)
    if history == "full" and lease.upstream.dialect.gateway is not None:
        history = _in_roles(lease, mark)
    turn = build_turn(chat, history, max_fold=config.max_fold, in_messages=lease.upstream.dialect.in_messages)
    if answer is None:
        return replace(turn, mark=mark) if mark else turn
    # An agent that is not given all messages keeps its thread: there the answer is all that is new.
    return replace(turn, reply=answer, messages=turn.messages if history == "full" else ())


def _record(request: web.Request, chat: AgentRequest, run: Recordable, *, resumed: bool = False) -> None:
    names, legacy = chat.tool_names, chat.legacy_functions
    tap(request, run, chat, "chat", tool_names=names, legacy_functions=legacy, resumed=resumed)


def _ids(
    app: web.Application, config: Config, caller: Caller, model: str, where: SessionOfRun, *, answerable: bool = True
) -> AnswerIds:
    ttl = config.confirmation_ttl
    return app[CALL_IDS].of_answer(caller.scope, model, where, ttl=ttl, answerable=answerable)


def _translator(config: Config, chat: AgentRequest, ids: AnswerIds) -> Translator:
    return Translator(
        model=chat.model or DEFAULT_MODEL,
        tool_names=chat.tool_names,
        tick_separator=config.tick_separator,
        server_tools=config.server_tools,
        confirmations=config.confirmations,
        sign=ids.ask,
        shorten=ids.shorten,
        secret=config.upstream_token,
        max_held=config.max_answer,
    )


def _form(chat: AgentRequest, config: Config) -> ChunkEncoder | Collector:
    """What makes the answer's bytes: chunk by chunk, or when all is there."""
    envelope = Envelope(f"chatcmpl-{new_id()}", int(time.time()), chat.model or DEFAULT_MODEL)
    field, legacy = config.reasoning_field, chat.legacy_functions
    if chat.stream:
        usage = chat.include_usage
        return ChunkEncoder(envelope, include_usage=usage, reasoning_field=field, legacy_functions=legacy)
    return Collector(envelope, reasoning_field=field, legacy_functions=legacy)


async def _answer(
    request: web.Request,
    run: EventSource,
    translator: Translator,
    form: ChunkEncoder | Collector,
    ending: Ending | None = None,
    digest: AnswerFingerprint | None = None,
) -> web.StreamResponse:
    if isinstance(form, Collector):
        return await collect_answer(request, run, translator, form, ending, digest)
    return await stream_answer(request, run, translator, form, ending, digest)
