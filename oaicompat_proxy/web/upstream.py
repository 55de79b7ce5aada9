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
from ..errors import Forbidden, InvalidKey, ProxyError, UpstreamError, UpstreamInterrupted, UpstreamRefused
from ..events import Event
from ..keyring import Caller
from .exchange import NO_LIMITS, Exchange, Limits
from .inflater import Inflater
from .stream_client import NO_HEADERS, StreamClient
from .tap import Take, TappedReader

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
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}
        self._for_client = False
        self._client = self._new_client(base)
        # moving
        self._others: dict[str, StreamClient] = {}
        """Clients of agents at addresses of their own: as many as models are configured."""

    @property
    def address(self) -> str:
        """For people."""
        return self._base

    def speaking_for(self, caller: Caller) -> Upstream:
        """The gateway, called with the client's own credentials where they are passed on, and with none of ours."""
        if caller.authorization is None:
            return self
        other = copy.copy(self)
        other._authorization = {"Authorization": caller.authorization} if caller.authorization else {}
        other._for_client = True
        return other

    async def call(self, call: Call) -> tuple[int, bytes]:
        """Status and body of a short answer. Raises UpstreamError and its kin."""
        exchange = await self._client.request("POST", call.path, call.body, headers=self._authorization)
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
        exchange = await self._client.request(
            "GET", path, headers=self._authorization, silence_timeout=None, limits=limits
        )
        if exchange.status != 200:
            exchange.cut()
            kind = UpstreamRefused if exchange.status < 500 else UpstreamError
            raise kind(f"The agent gateway answered with status {exchange.status}.")
        return exchange

    async def probe(self) -> int:
        """The status of an answer to a question that nothing comes of. Raises UpstreamError and its kin."""
        exchange = await self._client.request("GET", "", headers=self._authorization)
        exchange.cut()
        return exchange.status

    def run(self, call: Call) -> Run:
        client, call = self._address(call)
        return Run(client, call, self.new_reader(), self._limits, self._authorization, for_client=self._for_client)

    def new_reader(self, *, resumed: bool = False) -> Reader:
        runs_again = self._config.confirmations == "approve" and self.dialect.gateway is None
        with_deeds = self._config.server_tools != "hide" or runs_again  # then the agent has to be told what it did
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
        *,
        for_client: bool = False,
    ) -> None:
        """`for_client`: the headers hold the client's own credentials, so a refusal of them is the client's."""
        self._client = client
        self._limits = limits
        self._headers = headers
        self._for_client = for_client
        # moving
        self._reader: Reader = reader
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
            del call
            self._call = None  # it holds the conversation
        exchange = self._exchange
        await exchange.head()
        try:
            if self._for_client:
                _check_credentials(exchange)
            _check_stream(exchange)
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
            return self._reader.feed(data)
        return itertools.chain.from_iterable(map(self._reader.feed, self._inflater.feed(data)))

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


_REFUSALS = {
    401: "The agent gateway refused this proxy's token (401); the operator must check --upstream-token.",
    403: "The agent gateway forbids this proxy the call (403); the operator must check --upstream-token.",
    404: "There is no agent gateway at the configured address (404); the operator must check --upstream.",
    405: "There is no agent gateway at the configured address (405); the operator must check --upstream.",
}


def _check_credentials(exchange: Exchange) -> None:
    if exchange.status == 401:
        raise InvalidKey("The agent gateway does not accept your API key.")
    if exchange.status == 403:
        raise Forbidden("The agent gateway does not allow this to your API key.")


def _check_stream(exchange: Exchange) -> None:
    if exchange.status in _REFUSALS:
        raise UpstreamRefused(_REFUSALS[exchange.status])
    if exchange.status != 200:
        raise UpstreamError(f"The agent gateway answered with status {exchange.status}.")
    content_type = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "text/event-stream":
        raise UpstreamError(
            f"The agent gateway answered with {content_type or 'nothing'} instead of an event stream; "
            "the operator must check --upstream."
        )
