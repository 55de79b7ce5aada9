"""The rest of a run that waited for the client's confirmation.

An earlier request began the run, maybe in another worker. So the events after the confirmation are read from the
gateway's `/events`.
"""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections.abc import Iterable

from ...config.settings import Config
from ...core.errors import AgentError, AgentUnanswerable, UpstreamError, UpstreamTimeout
from ...core.events import (
    Event,
    MessageCompleted,
    MessageEnded,
    ReasoningDelta,
    RunEnded,
    RunResult,
    TextDelta,
    TextDeltas,
    TickEnded,
    ToolCallDelta,
)
from ...core.sse import FrameReader
from ...dialects.protocol import Reader
from ...translation.confirmations import Confirmation
from ..observability.run_recorder import ReadLog
from .approvals import NOT_PENDING, confirm
from .event_source import OnGatewayBytes, PullSource
from .gateway_client import Upstream
from .http_exchange import Exchange, Limits
from .run_state import RunState

MAX_CONNECTION_EVENT = 64 * 1024
"""Bytes of the first event of `/events`."""

CONNECTION_EVENT_TIMEOUT = 10.0
"""Seconds for the first event of `/events`, which a gateway sends at once."""

_CONTINUATIONS = (
    TextDelta,
    TextDeltas,
    ReasoningDelta,
    ToolCallDelta,
    MessageEnded,
    MessageCompleted,
    RunResult,
    RunEnded,
)
"""Events that others precede after a confirmation: the result of the tool, and the start of the next message."""

FIRST_EVENT = 2.0
"""Seconds for the first event after a confirmation, which acknowledges it; then the session's status is read."""


class ContinuedRun(PullSource):
    """An EventSource whose `open` sends the client's confirmation."""

    def __init__(self, upstream: Upstream, confirmation: Confirmation, config: Config) -> None:
        super().__init__()
        self._upstream = upstream
        self._confirmation = confirmation
        self._silence_timeout = config.silence_timeout
        self._wait = min(config.confirmation_wait, config.silence_timeout)
        self._limits = Limits(whole=config.run_timeout or math.inf)
        self._reader: Reader = upstream.new_reader(resumed=True)
        self._acknowledged = False
        """The gateway has sent an event of the session, or reported it as active."""
        self._has_beginning = False
        """The events began with what follows a confirmation."""
        self._silence = 0.0
        """Seconds without an event, up to the last status that was read."""
        self._state: RunState = "not_sent"
        self._exchange: Exchange | None = None
        self.on_gateway_bytes: OnGatewayBytes | None = None
        """Set before `open`: receives the bytes of every read."""
        self.read_log: ReadLog | None = None

    # read by the run's report and recording

    call = None
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
        """`not_sent` until the gateway has the client's reply; `rejected` if the gateway accepts no replies."""
        return "finished" if self._reader.finished else self._state

    @property
    def in_persistent_session(self) -> bool:
        """Later requests continue in the run's session."""
        return self._confirmation.question.lasting

    async def open(self) -> None:
        """Subscribes before it confirms, so that no event is missed. Raises UpstreamError or a subclass."""
        await self._subscribe()
        question, reply = self._confirmation.question, self._confirmation.reply
        try:
            await confirm(
                *(self._upstream, question.session, question.call_id),
                confirmed=reply.confirmed,
                reason=reply.reason,
            )
        except AgentUnanswerable:
            self._state = "rejected"
            raise
        self._state = "accepted"

    async def _subscribe(self) -> None:
        gateway, session = self._upstream.gateway, self._confirmation.question.session
        client_id = f"oaicompat-proxy-{uuid.uuid4().hex}"
        try:
            async with asyncio.timeout(CONNECTION_EVENT_TIMEOUT):
                self._exchange = await self._upstream.listen(gateway.events_path(client_id), self._limits)
                connection_id = await _read_connection_id(self._exchange)
        except TimeoutError:
            raise UpstreamTimeout("The agent gateway did not begin its event stream in time.") from None
        status, _ = await self._upstream.call(gateway.build_subscribe(client_id, connection_id, session))
        if status != 200:
            raise UpstreamError(f"The agent gateway answered a subscription with status {status}.")

    async def __anext__(self) -> Iterable[Event]:
        try:
            async with asyncio.timeout(self._silence_timeout):
                while (events := await self._next()) is None:
                    await self._check_status()
        except TimeoutError:
            raise UpstreamTimeout("The agent was silent for too long.") from None
        if not events:
            raise StopAsyncIteration
        return events

    async def _next(self) -> list[Event] | None:
        """The next events; None if there are none in time, and an empty list at the end."""
        assert self._exchange is not None
        within = self._wait - self._silence if self._acknowledged else min(FIRST_EVENT, self._wait)
        try:
            async with asyncio.timeout(within):
                while data := await self._exchange.read():
                    self._acknowledged = self._acknowledged or b"data:" in data  # a heartbeat acknowledges nothing
                    if self.on_gateway_bytes is not None:
                        self.on_gateway_bytes(data)
                    if events := list(self._reader.feed(data)):
                        self._silence = 0.0
                        if not self._has_beginning:
                            self._check_beginning(events)
                        return events
        except TimeoutError:
            return None
        return []

    def _check_beginning(self, events: Iterable[Event]) -> None:
        """Raises AgentError if the run went on before this subscription, for another request with the same reply. The
        gateway accepts a reply twice, and the answer would lack its beginning.
        """
        for event in events:
            if isinstance(event, _CONTINUATIONS):
                raise AgentError(f"{NOT_PENDING} Another request has continued the run.")
            if not isinstance(event, TickEnded):
                self._has_beginning = True
                return

    async def _check_status(self) -> None:
        """Reads the session's status: a tool may take long, or the gateway may have lost the run or its events.

        Raises UpstreamError or a subclass.
        """
        gateway = self._upstream.gateway
        call = gateway.build_status(self._confirmation.question.session)
        status = gateway.parse_status(*await self._upstream.call(call))
        if status is not None and status.is_running:
            self._acknowledged, self._silence = True, 0.0
            return
        if status is not None and not status.exists:
            raise AgentError(f"{NOT_PENDING} If it was accepted, the gateway has sent no events of the run since.")
        if self._acknowledged or self._wait <= FIRST_EVENT:
            raise UpstreamTimeout(
                "The agent gateway sent no more events of the run after the confirmation; the rest of the answer is "
                "lost."
            )
        self._acknowledged, self._silence = True, FIRST_EVENT

    def abort(self) -> None:
        if self._exchange is not None:
            self._exchange.abort()


async def _read_connection_id(exchange: Exchange) -> str:
    """The id in the first event of `/events`; empty if there is none. Raises UpstreamError or a subclass."""
    frames = FrameReader(max_frame=MAX_CONNECTION_EVENT)
    while data := await exchange.read():
        for frame in frames.feed(data):
            return str(_parse_connection_event(frame.data).get("connectionId", ""))
    raise UpstreamError("The agent gateway's event stream ended before it began.")


def _parse_connection_event(data: bytes) -> dict[str, object]:
    try:
        event = json.loads(data)
    except ValueError:
        event = None
    return event if isinstance(event, dict) else {}
