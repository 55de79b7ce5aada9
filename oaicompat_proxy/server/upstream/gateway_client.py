"""The gateway, over HTTP: short calls, and runs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping

from aiohttp import web

from ...config.settings import Config
from ...core.caller import Caller
from ...core.errors import UpstreamError, UpstreamRefused
from ...dialects.protocol import Call, Reader
from ...dialects.registry import DIALECTS
from .event_source import Watch
from .gateway_features import GatewayFeatures
from .http_client import HttpClient
from .http_exchange import NO_LIMITS, Exchange, Limits
from .run import Run

SHORT_ANSWER = 1024 * 1024
"""Bytes of an answer that is no run, such as the list of apps."""

_HEADERS = {
    "Accept-Encoding": "identity",  # compressed events would wait for each other
    "Content-Type": "application/json",
    "User-Agent": "oaicompat-proxy",
}


class Upstream:
    """The gateway, over HTTP."""

    def __init__(self, config: Config, base: str) -> None:
        """`base`: the gateway's base address, with a path if it has one; or an agent's own."""
        self.dialect = DIALECTS[config.dialect]
        self._config = config
        self._base = base
        silence = config.silence_timeout or math.inf
        self._limits = Limits(config.first_event_timeout or math.inf, config.run_timeout or math.inf, silence)
        token = config.upstream_token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        runs_again = config.confirmations == "approve" and self.dialect.gateway is None
        self._with_deeds = config.shows_deeds or runs_again  # then the agent has to be told what it did
        self.features = GatewayFeatures()
        self._for_client = False
        self._watch: Watch | None = None
        self._client = self._new_client(base)
        # moving
        self._others: dict[str, HttpClient] = {}
        """Clients of agents at addresses of their own: as many as models are configured."""

    @property
    def reconnects(self) -> int:
        """Connections that were tried once more."""
        return sum(client.reconnects for client in self._clients())

    @property
    def address(self) -> str:
        """For people."""
        return self._base

    @property
    def speaks_for_client(self) -> bool:
        """Whether it is called with a client's own credentials."""
        return self._for_client

    def speaking_for(self, caller: Caller) -> Upstream:
        """The gateway, called with the client's own credentials where they are passed on, and with none of ours."""
        if caller.authorization is None:
            return self
        other = copy.copy(self)
        other._headers = {"Authorization": caller.authorization} if caller.authorization else {}
        other._for_client = True
        return other

    def observed(self, headers: Mapping[str, str], watch: Watch | None) -> Upstream:
        """The gateway, called with these headers too. Who watches sees also what the agent's own tools did."""
        other = copy.copy(self)
        other._headers = {**self._headers, **headers}
        other._watch = watch
        return other

    async def call(self, call: Call, limits: Limits | None = None) -> tuple[int, bytes]:
        """Status and body of a short answer. Raises UpstreamError and its kin."""
        exchange = await self._client.request("POST", call.path, call.body, headers=self._headers, limits=limits)
        try:
            body = b""
            while data := await exchange.read():
                body += data
                if len(body) > SHORT_ANSWER:
                    raise UpstreamError("The agent gateway's answer is too long.")
            return exchange.status, body
        finally:
            exchange.abort()

    async def listen(self, path: str, limits: Limits = NO_LIMITS) -> Exchange:
        """An event stream that is not a run's, without a limit to its silence.

        Raises UpstreamRefused where there is none, and UpstreamError and its kin.
        """
        exchange = await self._client.request("GET", path, headers=self._headers, limits=limits)
        if exchange.status != 200:
            exchange.abort()
            kind = UpstreamRefused if exchange.status < 500 else UpstreamError
            raise kind(f"The agent gateway answered with status {exchange.status}.")
        return exchange

    async def probe(self) -> int:
        """The status of an answer to a question that nothing comes of. Raises UpstreamError and its kin."""
        exchange = await self._client.request("GET", "", headers=self._headers)
        exchange.abort()
        return exchange.status

    def run(self, call: Call, run_id: str = "") -> Run:
        """`run_id`: as the call has it."""
        client, call = self._address(call)
        reader = self.new_reader(run_id=run_id)
        gateway = self.dialect.gateway
        return Run(
            *(client, call, reader, self._limits, self._headers, self._watch),
            for_client=self._for_client,
            means_unknown_app=gateway.means_unknown_app if gateway is not None else None,
        )

    def new_reader(self, *, resumed: bool = False, run_id: str = "") -> Reader:
        with_deeds = self._with_deeds or self._watch is not None
        return self.dialect.new_reader(
            max_frame=self._config.max_frame, with_deeds=with_deeds, resumed=resumed, run_id=run_id
        )

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        for client in self._clients():
            client.close()

    def _clients(self) -> Iterable[HttpClient]:
        return (self._client, *self._others.values())

    def _address(self, call: Call) -> tuple[HttpClient, Call]:
        """Who takes the call: a whole URL is another agent's."""
        if "://" not in call.path:
            return self._client, call
        if call.path not in self._others:
            self._others[call.path] = self._new_client(call.path)
        return self._others[call.path], call._replace(path="")

    def _new_client(self, base: str) -> HttpClient:
        return HttpClient(
            base,
            {**_HEADERS, **self.dialect.headers},
            connect_timeout=self._config.connect_timeout,
            connect_retries=self._config.connect_retries,
            limits=Limits(silence=self._limits.silence),
        )


UPSTREAM = web.AppKey("oaicompat_proxy.upstream", Upstream)
