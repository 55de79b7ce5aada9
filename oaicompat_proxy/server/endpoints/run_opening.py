"""Opens the run of a request: chooses the messages that the agent needs in this session, and checks what it knows."""

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
from ..event_loop.yielding import LARGE_REQUEST, yield_control
from ..observability.run_recorder import ReadLog, RunRecorder
from ..observability.run_report import RunReport
from ..sessions.lease import Lease
from ..sessions.message_trial import TrialRun, find_messages, new_mark
from ..sessions.run_start import start
from ..sessions.send_form import LARGE, find_send_form
from ..sessions.session_check import SessionCheckingRun
from ..sessions.sessions import Sessions
from ..upstream.event_source import EventSource, OnGatewayBytes


class Recordable(Protocol):
    """A run whose bytes can be recorded."""

    on_gateway_bytes: OnGatewayBytes | None
    read_log: ReadLog | None

    @property
    def call(self) -> HttpCall | None:
        """The request that starts the run; None once it is sent."""


def record_request(report: RunReport, body: bytes | ParsedBody) -> None:
    """Records the request. `body`: parsed, if its bytes were released."""
    if report.recording is not None:
        report.recording.request(body if isinstance(body, bytes) else json.dumps(body.members).encode())


def record(report: RunReport, run: Recordable, options: AnswerOptions) -> None:
    """Begins the recording of this run, if runs are recorded."""
    if report.recording is not None:
        report.recording.begin(options)
        _record_stream(report.recording, run)


def record_next(report: RunReport, run: Recordable) -> None:
    """Continues the recording with the run that follows."""
    if report.recording is not None:
        report.recording.begin_next_run()
        _record_stream(report.recording, run)


def _record_stream(recording: RunRecorder, run: Recordable) -> None:
    if run.call is not None:
        recording.turn(run.call.path, run.call.body)
    run.on_gateway_bytes, run.read_log = recording.gateway_bytes, recording.read_log


def choose_server_tools(api: ClientApi, setting: str) -> str:
    """How the calls of the agent's own tools are shown. `setting`: the setting `server_tools`."""
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
    """A run in the lease's session. If the session should know the conversation, the run checks that.

    `config`: the settings of the request's model. `reply`: the confirmation for which the session waits. `user`: the
    name of the user.
    """
    gateway, size = lease.upstream.dialect.gateway, report.requested_bytes
    mark = await _new_mark(asked, lease) if config.history == "full" else ""
    if size > LARGE:
        await find_send_form(lease.upstream)

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
        _record_stream(report.recording, run)  # the replaced run has no recorded bytes
    else:
        record(report, run, options)
    report.on_run(run)


def _history(asked: AgentRequest, lease: Lease, config: Config) -> str:
    """Which messages are sent: in a named or replaced session `last` applies only if it knows the earlier ones."""
    if not asked.conversational:
        return "fold"
    if config.history == "auto" or (config.history == "last" and (lease.named or lease.replaced)):
        return lease.history
    return config.history


async def _new_mark(asked: AgentRequest, lease: Lease) -> str:
    """The id that marks the last message of a trial run (`message_trial`); empty if no trial is needed.

    Only in a new session, because the run may be stopped.
    """
    if lease.upstream.dialect.gateway is None or len(asked.messages) == 1:
        return ""
    known = await find_messages(lease.upstream)
    return new_mark() if known is None and lease.history == "fold" else ""


def _in_roles(lease: Lease, mark: str) -> str:
    """The history for `full` with a gateway: if it takes messages, all of them, or those new to the session."""
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
    # An agent that does not get all messages remembers its thread, so only the reply is new to it.
    return replace(turn, reply=reply, messages=turn.messages if history == "full" else ())
