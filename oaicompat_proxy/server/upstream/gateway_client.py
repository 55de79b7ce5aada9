"""The client of one gateway: short calls, event streams and runs over HTTP."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Iterable, Mapping

from ... import __version__
from ...config.settings import Config
from ...core.caller import Caller
from ...core.errors import UpstreamError, UpstreamRefused, UpstreamTimeout
from ...dialects.protocol import GatewayMethods, HttpCall, Reader
from ...dialects.registry import DIALECTS
from .event_source import Watch
from .gateway_features import GatewayFeatures
from .http_client import HttpClient
from .http_exchange import NO_LIMITS, Exchange, Limits
from .run import Run

MAX_BODY = 1024 * 1024
"""Bytes of a response that is no event stream, such as the list of apps."""

CALL_TIMEOUT = 60.0
"""Seconds for a whole call that is no run: a gateway answers it at once. Without it, one byte from time to time would
keep the list of models waiting for days."""

_HEADERS = {
    "Accept-Encoding": "identity",  # compression would delay events until a block is full
    "Content-Type": "application/json",
    "User-Agent": f"oaicompat-proxy/{__version__}",
}


class Upstream:
    """One gateway, or one agent without a gateway, as it is called for one caller."""

    def __init__(self, config: Config, base: str) -> None:
        """`base`: the address of the gateway or the agent, with a path if it has one."""
        self.dialect = DIALECTS[config.dialect]
        self._config = config
        self._base = base
        silence = config.silence_timeout or math.inf
        self._limits = Limits(config.first_event_timeout or math.inf, config.run_timeout or math.inf, silence)
        token = config.upstream_token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        runs_again = config.confirmations == "approve" and self.dialect.gateway is None
        # an agent that is run again needs the tool calls of its last run
        self._include_tool_activity = runs_again
        self.features = GatewayFeatures()
        self._for_client = False
        self._watch: Watch | None = None
        self._client = self._new_client(base)
        # state
        self._others: dict[str, HttpClient] = {}
        """HTTP clients of agents with their own address; bounded by the number of configured models."""

    @property
    def reconnects(self) -> int:
        """Connects that were retried."""
        return sum(client.reconnects for client in self._clients())

    @property
    def address(self) -> str:
        """The address for log lines and error messages."""
        return self._base

    @property
    def gateway(self) -> GatewayMethods:
        """The dialect's gateway calls; only for a dialect with a gateway."""
        assert self.dialect.gateway is not None
        return self.dialect.gateway

    @property
    def uses_client_credentials(self) -> bool:
        """Whether calls carry the client's credentials instead of this proxy's."""
        return self._for_client

    def with_credentials_of(self, caller: Caller) -> Upstream:
        """A copy that sends the caller's credentials instead of the proxy's, if they are passed on."""
        if caller.authorization is None:
            return self
        other = copy.copy(self)
        other._headers = {"Authorization": caller.authorization} if caller.authorization else {}
        other._for_client = True
        return other

    def with_trace(self, headers: Mapping[str, str], watch: Watch | None) -> Upstream:
        """A copy that adds trace headers. `watch` also receives the calls of the agent's own tools."""
        other = copy.copy(self)
        other._headers = {**self._headers, **headers}
        other._watch = watch
        return other

    def with_tool_activity(self) -> Upstream:
        """A copy whose runs also report the calls of the agent's own tools."""
        other = copy.copy(self)
        other._include_tool_activity = True
        return other

    async def call(self, call: HttpCall, limits: Limits | None = None) -> tuple[int, bytes]:
        """Status and body of a call's response, within CALL_TIMEOUT. Raises UpstreamError or a subclass."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                return await self._call(call, limits)
        except TimeoutError:
            raise UpstreamTimeout("The agent gateway did not answer in time.") from None

    async def _call(self, call: HttpCall, limits: Limits | None) -> tuple[int, bytes]:
        exchange = await self._client.request("POST", call.path, call.body, headers=self._headers, limits=limits)
        try:
            body = b""
            while data := await exchange.read():
                body += data
                if len(body) > MAX_BODY:
                    raise UpstreamError("The agent gateway's response is too long; the operator must check --upstream.")
            return exchange.status, body
        finally:
            exchange.abort()

    def call_on_idle(self, call: HttpCall) -> Exchange | None:
        """Sends a call on an idle connection, without time limits; None, and nothing is sent, if there is none."""
        return self._client.post_on_idle(call.path, call.body, headers=self._headers, limits=NO_LIMITS)

    async def listen(self, path: str, limits: Limits = NO_LIMITS) -> Exchange:
        """Opens an event stream that is not a run; it may be silent for any time.

        Raises UpstreamRefused if the gateway has no such stream, and UpstreamError or a subclass.
        """
        exchange = await self._client.request("GET", path, headers=self._headers, limits=limits)
        if exchange.status != 200:
            exchange.abort()
            kind = UpstreamRefused if exchange.status < 500 else UpstreamError
            raise kind(f"The agent gateway answered with status {exchange.status}.")
        return exchange

    async def probe(self) -> int:
        """The status of a GET that starts nothing. Raises UpstreamError or a subclass."""
        exchange = await self._client.request("GET", "", headers=self._headers)
        exchange.abort()
        return exchange.status

    def run(self, call: HttpCall, run_id: str = "") -> Run:
        """`run_id`: the id inside the call."""
        client, call = self._address(call)
        reader = self.new_reader(run_id=run_id)
        gateway = self.dialect.gateway
        run = Run(client, call, reader, self._limits, self._headers, self._watch)
        if gateway is not None:
            run.means_unknown_app = gateway.is_unknown_app
        run.for_client = self._for_client
        run.on_rejected = self.features.send_form.forget
        return run

    def new_reader(self, *, resumed: bool = False, run_id: str = "") -> Reader:
        include_tool_activity = self._include_tool_activity or self._watch is not None
        return self.dialect.new_reader(
            max_frame=self._config.max_frame,
            include_tool_activity=include_tool_activity,
            resumed=resumed,
            run_id=run_id,
        )

    def close(self) -> None:
        """Closes idle connections."""
        for client in self._clients():
            client.close()

    def _clients(self) -> Iterable[HttpClient]:
        return (self._client, *self._others.values())

    def _address(self, call: HttpCall) -> tuple[HttpClient, HttpCall]:
        """The client for a call: a path that is a whole URL is an agent's own address."""
        if "://" not in call.path:
            return self._client, call
        if call.path not in self._others:
            self._others[call.path] = self._new_client(call.path)
        return self._others[call.path], HttpCall("", call.body)

    def _new_client(self, base: str) -> HttpClient:
        return HttpClient(
            base,
            {**_HEADERS, **self.dialect.headers},
            connect_timeout=self._config.connect_timeout,
            connect_retries=self._config.connect_retries,
            limits=Limits(silence=self._limits.silence),
        )
