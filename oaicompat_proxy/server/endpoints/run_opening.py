"""The run that a request begins: what the agent has to be told in this session, and whether the session knows it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Protocol

from ...api.protocol import ClientApi, ParsedBody
from ...config.settings import Config
from ...core.answer_options import AnswerOptions
from ...core.request import AgentRequest
from ...core.turn import ConfirmationReply, Turn
from ...dialects.protocol import HttpCall
from ...translation.prompt import build_turn
from ..event_loop import LARGE_REQUEST, yield_control
from ..observability.run_recorder import RunRecorder
from ..observability.run_report import RunReport
from ..sessions.lease import Lease
from ..sessions.message_trial import TrialRun, find_messages, new_mark
from ..sessions.run_start import start
from ..sessions.session_check import SessionCheckingRun
from ..sessions.sessions import Sessions
from ..upstream.event_source import EventSource, OnGatewayBytes, Tap


class Recordable(Protocol):
    """A run whose bytes can be recorded."""

    on_gateway_bytes: OnGatewayBytes | None
    tap: Tap | None

    @property
    def call(self) -> HttpCall | None:
        """The request that starts it, until it is sent."""


def record_request(report: RunReport, body: bytes | ParsedBody) -> None:
    """`body`: parsed, if only that is left of it."""
    if report.recording is not None:
        report.recording.request(body if isinstance(body, bytes) else json.dumps(body.members).encode())


def record(report: RunReport, run: Recordable, options: AnswerOptions) -> None:
    """Begins the recording of this run, if runs are recorded."""
    if report.recording is not None:
        report.recording.begin(options)
        _record_stream(report.recording, run)


def record_next(report: RunReport, run: Recordable) -> None:
    """Continues the recording with a run that follows the recorded one."""
    if report.recording is not None:
        report.recording.begin_next_run()
        _record_stream(report.recording, run)


def _record_stream(recording: RunRecorder, run: Recordable) -> None:
    if run.call is not None:
        recording.turn(run.call.path, run.call.body)
    run.on_gateway_bytes, run.tap = recording.gateway_bytes, recording.tap


def choose_server_tools(api: ClientApi, setting: str) -> str:
    """Where the actions of the agent's own tools are shown. `setting`: `server_tools`."""
    if setting == "auto":
        return "items" if api.has_tool_items else "hide"
    return setting


async def open_run(
    sessions: Sessions,
    report: RunReport,
    asked: AgentRequest,
    lease: Lease,
    config: Config,
    options: AnswerOptions,
    reply: ConfirmationReply | None,
    user: str,
) -> EventSource:
    """A run of the lease; in a session that should know what was said, one that finds out whether it does.

    `config`: the settings of the request's model. `reply`: to what the session waits for. `user`: for whom it is made.
    """
    gateway, size = lease.upstream.dialect.gateway, report.requested_bytes
    mark = await _new_mark(asked, lease) if config.history == "full" else ""

    async def begin() -> EventSource:
        if size > LARGE_REQUEST:
            await yield_control()
        turn = _turn(asked, lease, config, reply, "" if lease.replaced else mark, user)
        if size > LARGE_REQUEST:
            await yield_control()
        run = start(lease, turn, approves=options.confirmations == "approve", on_restart=partial(record_next, report))
        del turn
        if size > LARGE_REQUEST:
            await yield_control()
        _report(report, lease, options)
        return run

    run = await begin()
    if mark and gateway is not None:
        return TrialRun(lease, sessions, gateway, run, mark, again=begin)
    if gateway is None or not (lease.primary or lease.matched_fingerprint):
        return run
    return SessionCheckingRun(lease, sessions, gateway, run, again=begin)


def _report(report: RunReport, lease: Lease, options: AnswerOptions) -> None:
    run, report.session = lease.started_run, lease.key
    if lease.replaced and report.recording is not None:
        _record_stream(report.recording, run)  # nothing was read of the run before it
    else:
        record(report, run, options)
    report.on_run(run)


def _history(asked: AgentRequest, lease: Lease, config: Config) -> str:
    """`last` is no licence to forget: under a name it holds where the session has answered what stands before."""
    if not asked.conversational:
        return "fold"
    if config.history == "auto" or (config.history == "last" and (lease.named or lease.replaced)):
        return lease.history
    return config.history


async def _new_mark(asked: AgentRequest, lease: Lease) -> str:
    """For a conversation that is to be sent as messages to a gateway of which only a run can tell whether it takes
    them: in a session that nobody else needs, should the run have to be stopped.
    """
    if lease.upstream.dialect.gateway is None or len(asked.messages) == 1:
        return ""
    known = await find_messages(lease.upstream)
    return new_mark() if known is None and lease.history == "fold" else ""


def _in_roles(lease: Lease, mark: str) -> str:
    """What `full` is with a gateway: all messages, or those that are new to the session, if it takes them."""
    if not (mark or lease.upstream.features.messages.works):
        return lease.history
    return "full" if lease.history == "fold" else "new"


def _turn(
    asked: AgentRequest, lease: Lease, config: Config, reply: ConfirmationReply | None, mark: str, user: str
) -> Turn:
    history = _history(asked, lease, config)
    if history == "full" and lease.upstream.dialect.gateway is not None:
        history = _in_roles(lease, mark)
    takes_messages = lease.upstream.dialect.takes_messages
    turn = build_turn(asked, history, max_fold=config.max_fold, takes_messages=takes_messages)
    if user:
        turn = replace(turn, user=user, metadata={**turn.metadata, "user": user})
    if reply is None:
        return replace(turn, mark=mark) if mark else turn
    # An agent that is not given all messages keeps its thread: there the reply is all that is new.
    return replace(turn, reply=reply, messages=turn.messages if history == "full" else ())
