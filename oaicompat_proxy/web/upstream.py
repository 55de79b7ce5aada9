"""The gateway's side: calls, and runs whose bytes are read while they come."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from ..config import Config
from ..dialects.dialect import Call, Reader
from ..dialects.known import DIALECTS
from ..errors import ProxyError, UpstreamError, UpstreamInterrupted, UpstreamRefused
from ..events import Event
from ..keyring import Caller
from .exchange import NO_LIMITS, Exchange, Limits
from .inflater import Inflater
from .refusals import check_credentials, check_stream
from .stream_client import NO_HEADERS, StreamClient
from .tap import Take, TappedReader

Watch = Callable[[Event], Event]
"""Is shown every event of a run, and hands it on."""

LAST_WORD_TO_END = 0.5
"""Seconds for the end of the body after the agent's last word; a connection that takes longer is not reused."""

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
        self._limits = Limits(config.first_event_timeout or math.inf, config.run_timeout or math.inf)
        token = config.upstream_token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._for_client = False
        self._watch: Watch | None = None
        self._client = self._new_client(base)
        # moving
        self._others: dict[str, StreamClient] = {}
        """Clients of agents at addresses of their own: as many as models are configured."""

    @property
    def reconnects(self) -> int:
        """Connections that were tried once more."""
        return sum(client.reconnects for client in (self._client, *self._others.values()))

    @property
    def address(self) -> str:
        """For people."""
        return self._base

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

    async def call(self, call: Call) -> tuple[int, bytes]:
        """Status and body of a short answer. Raises UpstreamError and its kin."""
        exchange = await self._client.request("POST", call.path, call.body, headers=self._headers)
        try:
            body = b""
            while data := await exchange.read():
                body += data
                if len(body) > SHORT_ANSWER:
                    raise UpstreamError("The agent gateway's answer is too long.")
            return exchange.status, body
        finally:
            exchange.cut()

    async def listen(self, path: str, limits: Limits = NO_LIMITS) -> Exchange:
        """An event stream that is not a run's, without a limit to its silence.

        Raises UpstreamRefused where there is none, and UpstreamError and its kin.
        """
        exchange = await self._client.request("GET", path, headers=self._headers, silence_timeout=None, limits=limits)
        if exchange.status != 200:
            exchange.cut()
            kind = UpstreamRefused if exchange.status < 500 else UpstreamError
            raise kind(f"The agent gateway answered with status {exchange.status}.")
        return exchange

    async def probe(self) -> int:
        """The status of an answer to a question that nothing comes of. Raises UpstreamError and its kin."""
        exchange = await self._client.request("GET", "", headers=self._headers)
        exchange.cut()
        return exchange.status

    def run(self, call: Call) -> Run:
        client, call = self._address(call)
        headers, watch = self._headers, self._watch
        return Run(client, call, self.new_reader(), self._limits, headers, watch, for_client=self._for_client)

    def new_reader(self, *, resumed: bool = False) -> Reader:
        runs_again = self._config.confirmations == "approve" and self.dialect.gateway is None
        shows_deeds = self._config.shows_deeds or self._watch is not None
        with_deeds = shows_deeds or runs_again  # then the agent has to be told what it did
        return self.dialect.new_reader(max_frame=self._config.max_frame, with_deeds=with_deeds, resumed=resumed)

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        for client in (self._client, *self._others.values()):
            client.close()

    def _address(self, call: Call) -> tuple[StreamClient, Call]:
        """Who takes the call: a whole URL is another agent's."""
        if "://" not in call.path:
            return self._client, call
        if call.path not in self._others:
            self._others[call.path] = self._new_client(call.path)
        return self._others[call.path], call._replace(path="")

    def _new_client(self, base: str) -> StreamClient:
        return StreamClient(
            base,
            {**_HEADERS, **self.dialect.headers},
            connect_timeout=self._config.connect_timeout,
            connect_retries=self._config.connect_retries,
            silence_timeout=self._config.silence_timeout,
        )


class Run:
    """One run: `open` calls the gateway, then read what it says; at last `finish` or `cut`.

    The events of a read are lazy: UpstreamError comes where the faulty one stands.
    """

    def __init__(
        self,
        client: StreamClient,
        call: Call,
        reader: Reader,
        limits: Limits,
        headers: Mapping[str, str] = NO_HEADERS,
        watch: Watch | None = None,
        *,
        for_client: bool = False,
    ) -> None:
        """`for_client`: the headers hold the client's own credentials, so a refusal of them is the client's."""
        self._client = client
        self._limits = limits
        self._headers = headers
        self._for_client = for_client
        self._watch = watch
        # moving
        self._reader: Reader = reader
        self.sent = 0
        """Bytes of the turn, once it is sent."""
        self.upstream_request_id = ""
        """What the gateway calls this request, if it says so."""
        self._call: Call | None = call
        self._exchange: Exchange | None = None
        self._inflater: Inflater | None = None
        self.opened = False
        """The gateway has answered with a run."""
        self.refused = False
        """The gateway has answered, but not with a run."""

    @property
    def reached(self) -> bool:
        """The gateway may have heard of the run: `outlive` or `cut` it."""
        return self._exchange is not None

    @property
    def over(self) -> bool:
        """The agent has said its last word."""
        return self._reader.over

    @property
    def whole(self) -> bool:
        """The agent has said its last word, and the body has come to its end."""
        return self.over and self._exchange is not None and self._exchange.complete

    def tap(self, take: Take) -> None:
        """Before `open`: `take` gets every read, decompressed."""
        self._reader = TappedReader(self._reader, take)

    @property
    def received(self) -> int:
        """Bytes of the answer's body so far."""
        return self._exchange.received if self._exchange is not None else 0

    @property
    def arrived(self) -> float:
        return self._exchange.arrived if self._exchange is not None else 0.0

    @property
    def execution(self) -> str:
        return self._reader.execution_id

    async def open(self) -> None:
        """Raises UpstreamError and its kin when there is no event stream; InvalidKey and Forbidden for a client's key.

        A caller that is cancelled may leave a run behind, since the gateway may have heard of it: see `reached`.
        """
        if self.opened:
            return
        if self._exchange is None:
            assert self._call is not None
            call = self._call
            self._exchange = await self._client.send("POST", call.path, call.body, self._limits, self._headers)
            self.sent = len(call.body)
            del call
            self._call = None  # it holds the conversation
        exchange = self._exchange
        await exchange.head()
        self.upstream_request_id = exchange.headers.get("x-request-id", "")
        try:
            if self._for_client:
                check_credentials(exchange)
            check_stream(exchange)
        except ProxyError:
            self.refused = True
            exchange.cut()
            raise
        encoding = exchange.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            self._inflater = Inflater(encoding)
        exchange.headers.clear()  # many runs are open at once, and nobody needs them any more
        self.opened = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Iterable[Event]:
        """The events of the next read. Raises UpstreamError and its kin."""
        assert self._exchange is not None
        data = await self._exchange.read()
        if not data:
            raise StopAsyncIteration
        return self._feed(data)

    async def pump(self, take: Callable[[Iterable[Event]], bool]) -> None:
        """Gives the events of each read to `take` as they come, until it returns False or the stream ends."""
        assert self._exchange is not None
        await self._exchange.pump(lambda data: take(self._feed(data)))

    def _feed(self, data: bytes) -> Iterable[Event]:
        if self._inflater is None:
            events = self._reader.feed(data)
        else:
            events = itertools.chain.from_iterable(map(self._reader.feed, self._inflater.feed(data)))
        return events if self._watch is None else map(self._watch, events)

    def pause(self) -> None:
        """Leaves the socket alone, so that the gateway notices that nobody reads."""
        if self._exchange is not None:
            self._exchange.pause()

    def resume(self) -> None:
        if self._exchange is not None:
            self._exchange.resume()

    async def finish(self) -> None:
        """After the last word: reads the end of the body, so that the connection can be used again."""
        if self._exchange is not None:
            await self._exchange.finish(LAST_WORD_TO_END)

    async def outlive(self) -> None:
        """Reads on, for nobody, until the agent has said its last word. Raises UpstreamError and its kin."""
        await self.open()
        self.resume()
        async for events in self:
            for _ in events:
                pass
            if self.over:
                return
        raise UpstreamInterrupted("The agent's stream ended before the agent said that it was done.")

    def cut(self) -> None:
        """Gives up the connection, whatever is still to come on it."""
        if self._exchange is not None:
            self._exchange.cut()
