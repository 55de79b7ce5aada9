"""Answers to tools of the agent's that wait for a human: at once, or when the client has been asked.

Only newer gateways can be answered. A run that waits was begun by an earlier request, perhaps through another
worker, so what it says after the answer is read from the gateway's `/events`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import uuid
from collections.abc import Iterable

from ...config.settings import Config
from ...core.errors import AgentError, AgentUnanswerable, ProxyError, UpstreamError, UpstreamTimeout
from ...core.events import ConfirmationRequired, Event
from ...core.sse import FrameReader
from ...dialects.protocol import Gateway, Reader
from ...translation.confirmations import Confirmation, Question
from .event_source import OnGatewayBytes, PullSource
from .gateway_client import Upstream
from .http_exchange import Exchange, Limits
from .run import Run
from .run_state import RunState

MAX_GREETING = 64 * 1024
"""Bytes of the first event of `/events`."""

UNANSWERABLE = (
    "The agent waits for a confirmation, and this gateway's release cannot be given one; let the agent run this tool "
    "without asking."
)
NOT_WAITED_FOR = "The agent does not wait for this confirmation any more."

FIRST_SIGN = 2.0
"""Seconds for the first event after an answer, which is that it was taken; then it is asked what became of the run."""

GREETING = 10.0
"""Seconds for it; it comes at once where it comes at all."""


async def confirm(upstream: Upstream, session: str, call_id: str, *, confirmed: bool, reason: str = "") -> None:
    """Raises AgentUnanswerable if this gateway cannot be answered, and AgentError if this run cannot."""
    gateway = _gateway(upstream)
    call = gateway.build_confirmation(session, call_id, confirmed=confirmed, reason=reason)
    status, body = await upstream.call(call)
    if status == 200:
        upstream.features.confirm.note(works=True)
        return
    if gateway.is_unknown_method(status, body):
        upstream.features.confirm.note(works=False)
        raise AgentUnanswerable(UNANSWERABLE)
    raise AgentError(NOT_WAITED_FOR)


async def can_confirm(upstream: Upstream) -> bool:
    """Whether this gateway can be answered, as far as it can be found out: it is asked once, about nothing."""
    gateway, feature = upstream.dialect.gateway, upstream.features.confirm
    if gateway is not None and feature.works is None:
        nobody = f"nobody-{uuid.uuid4().hex}"
        with contextlib.suppress(ProxyError):
            status, body = await upstream.call(gateway.build_confirmation(nobody, nobody, confirmed=False))
            if status not in (401, 403) and status < 500:
                feature.note(works=not gateway.is_unknown_method(status, body))
            elif gateway.is_unknown_method(status, body):
                feature.note(works=False)
    return feature.works is not False


def approve_all(run: Run, upstream: Upstream, session: str) -> None:
    """Confirms every tool call that `run` asks about (setting `confirmations = approve`).

    A confirmation that fails ends the run with that error.
    """
    approving: set[asyncio.Task[None]] = set()

    async def approve(call_id: str) -> None:
        try:
            await confirm(upstream, session, call_id, confirmed=True)
        except UpstreamError as error:
            run.cut(error)

    def on_event(event: Event) -> Event:
        if isinstance(event, ConfirmationRequired):
            task = asyncio.create_task(approve(event.call_id), name="approve tool")
            approving.add(task)
            task.add_done_callback(approving.discard)
        return event

    run.watch(on_event)


class ContinuedRun(PullSource):
    """The rest of a run that waited for the client: `open` passes the client's answer on."""

    def __init__(self, upstream: Upstream, confirmation: Confirmation, config: Config) -> None:
        super().__init__()
        self._upstream = upstream
        self._confirmation = confirmation
        self._silence_timeout = config.silence_timeout
        self._wait = min(config.confirmation_wait, config.silence_timeout)
        self._limits = Limits(whole=config.run_timeout or math.inf)
        self._reader: Reader = upstream.new_reader(resumed=True)
        self._heard = False
        """The gateway has told something of the session since."""
        self._waited = 0.0
        """Seconds of the silence so far."""
        self._state = RunState.NOT_SENT
        self._exchange: Exchange | None = None
        self.on_gateway_bytes: OnGatewayBytes | None = None
        """Set before `open`: receives the bytes of every read."""

    # for its report

    sent = 0
    upstream_request_id = ""

    @property
    def received(self) -> int:
        return self._exchange.received if self._exchange is not None else 0

    @property
    def arrived(self) -> float:
        return self._exchange.arrived if self._exchange is not None else 0.0

    @property
    def execution(self) -> str:
        return self._reader.execution_id

    # the run

    @property
    def state(self) -> RunState:
        """NOT_SENT until the gateway has the client's reply; REJECTED if it takes no replies."""
        return RunState.FINISHED if self._reader.over else self._state

    @property
    def in_persistent_session(self) -> bool:
        """Later requests continue in the run's session."""
        return self._confirmation.question.lasting

    async def open(self) -> None:
        """Listens first, then answers, so that nothing is missed. Raises UpstreamError and its kin."""
        question, gateway = self._confirmation.question, _gateway(self._upstream)
        client_id = f"oaicompat-proxy-{uuid.uuid4().hex}"
        try:
            async with asyncio.timeout(GREETING):
                self._exchange = await self._upstream.listen(gateway.events_path(client_id), self._limits)
                connection_id = await self._read_greeting(self._exchange)
        except TimeoutError:
            raise UpstreamTimeout("The agent gateway did not begin its event stream in time.") from None
        status, _ = await self._upstream.call(gateway.build_subscribe(client_id, connection_id, question.session))
        if status != 200:
            raise UpstreamError(f"The agent gateway answered a subscription with status {status}.")
        try:
            await self._confirm(question)
        except AgentUnanswerable:
            self._state = RunState.REJECTED
            raise
        self._state = RunState.ACCEPTED

    async def _confirm(self, question: Question) -> None:
        await confirm(
            self._upstream,
            question.session,
            question.call_id,
            confirmed=self._confirmation.answer.confirmed,
            reason=self._confirmation.answer.reason,
        )

    async def __anext__(self) -> Iterable[Event]:
        try:
            async with asyncio.timeout(self._silence_timeout):
                while (events := await self._next()) is None:
                    await self._check_silence()
        except TimeoutError:
            raise UpstreamTimeout("The agent was silent for too long.") from None
        if not events:
            raise StopAsyncIteration
        return events

    async def _next(self) -> list[Event] | None:
        """The next events; None if there are none in time, and an empty list at the end."""
        assert self._exchange is not None
        try:
            async with asyncio.timeout(self._wait - self._waited if self._heard else min(FIRST_SIGN, self._wait)):
                while data := await self._exchange.read():
                    self._heard = self._heard or b"data:" in data  # heartbeats are no sign of the run's life
                    if self.on_gateway_bytes is not None:
                        self.on_gateway_bytes(data)
                    if events := list(self._reader.feed(data)):
                        self._waited = 0.0
                        return events
        except TimeoutError:
            return None
        return []

    async def _check_silence(self) -> None:
        """A tool may take its time; but some gateways stop telling of a run, or have none. Raises UpstreamError."""
        gateway = _gateway(self._upstream)
        call = gateway.build_status(self._confirmation.question.session)
        status = gateway.parse_status(*await self._upstream.call(call))
        if status is not None and status.active:
            self._heard, self._waited = True, 0.0
            return
        if status is not None and not status.exists:
            raise AgentError(f"{NOT_WAITED_FOR} If it was taken, the gateway has told nothing of what came of it.")
        if self._heard or self._wait <= FIRST_SIGN:
            raise UpstreamTimeout(
                "After the confirmation the agent gateway told nothing more of the run; the rest of its answer is lost."
            )
        self._heard, self._waited = True, FIRST_SIGN

    def cut(self) -> None:
        if self._exchange is not None:
            self._exchange.abort()

    async def _read_greeting(self, exchange: Exchange) -> str:
        """The connection's id, from the first event."""
        frames = FrameReader(max_frame=MAX_GREETING)
        while data := await exchange.read():
            for frame in frames.feed(data):
                return str(_parse_greeting(frame.data).get("connectionId", ""))
        raise UpstreamError("The agent gateway's event stream ended before it began.")


def _gateway(upstream: Upstream) -> Gateway:
    """Only a gateway is told anything while a run waits; an agent itself is run again."""
    assert upstream.dialect.gateway is not None
    return upstream.dialect.gateway


def _parse_greeting(data: bytes) -> dict[str, object]:
    try:
        greeting = json.loads(data)
    except ValueError:
        greeting = None
    return greeting if isinstance(greeting, dict) else {}
