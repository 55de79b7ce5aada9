"""The keys of the issuer of tokens: fetched when needed, cached, and refreshed while requests use the old ones.

A key that the issuer removes is refused within ten minutes. While the issuer cannot be reached, its last keys are used
for a bounded time. A request waits for a fetch at most two seconds, however long the fetch takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from yarl import URL

from ...core.errors import IssuerUnavailable, UpstreamError
from ..upstream.http_client import HttpClient
from ..upstream.http_exchange import Limits
from .tokens import Head, IssuerKey, find_key, read_keys, read_keys_url

log = logging.getLogger(__name__)

REFRESH_AGE = 240.0
"""Seconds after which the keys are fetched again, while requests use them."""

MAX_AGE = 540.0
"""Seconds after which a request waits for the fetch; with the fetch less than ten minutes."""

UNKNOWN_KEY_INTERVAL = 60.0
"""Seconds between two fetches because of an unknown key id, which anybody can invent."""

RETRY_INTERVAL = 10.0
"""Seconds after a fetch that failed."""

MAX_WAIT = 2.0
"""Seconds for which a request waits for a fetch."""

FETCH_TIMEOUT = 10.0
"""Seconds for a fetch of the configuration and the keys."""

MAX_DOCUMENT = 512 * 1024
"""Bytes of a document of the issuer."""

CONFIGURATION = "/.well-known/openid-configuration"
"""Source: OpenID Connect Discovery 1.0, 4."""


class KeySetState(NamedTuple):
    """The state of an issuer's keys."""

    keys: int
    """Number of keys that can verify tokens."""
    algorithms: Sequence[str]
    error: str
    """The error of the last fetch; empty if it succeeded."""


class IssuerKeys:
    """The keys of one issuer, for one process."""

    def __init__(self, issuer: str, address: str = "") -> None:
        """`address`: the URL of the keys, if the issuer does not publish it."""
        self._issuer = issuer
        self._fixed_address = address
        # state
        self._keys: Sequence[IssuerKey] = ()
        self._error = ""
        self._address = ""
        self._fetched_at = -float("inf")
        """The loop's time at which the last successful fetch began."""
        self._retry_at = -float("inf")
        self._unknown_at = -float("inf")
        """The loop's time of the last fetch because of an unknown key."""
        self._fetching: asyncio.Task[None] | None = None
        self._wait_until = 0.0
        """The loop's time until which requests wait for the fetch."""

    async def find(self, head: Head, *, ttl: float) -> IssuerKey | None:
        """The key that has signed a token. `ttl`: seconds for which keys are used that cannot be fetched again.

        Raises IssuerUnavailable if there are no keys.
        """
        now = asyncio.get_running_loop().time()
        await self._refresh(now)
        if asyncio.get_running_loop().time() - self._fetched_at > max(ttl, MAX_AGE):
            raise IssuerUnavailable("The identity provider's keys cannot be fetched at the moment; try again.")
        key = find_key(self._keys, head)
        if key is None and now >= self._unknown_at + UNKNOWN_KEY_INTERVAL:
            self._unknown_at = now
            if self._fetched_at < now:  # not fetched for this request already
                self._fetch()
                await self._wait(now + MAX_WAIT)
                key = find_key(self._keys, head)
        return key

    async def state(self) -> KeySetState:
        """The state of the keys, after a fetch if one is due."""
        await self._refresh(asyncio.get_running_loop().time())
        algorithms = tuple(sorted({name for key in self._keys for name in key.algorithms}))
        error = self._error or ("no answer yet" if self._fetching is not None and not self._keys else "")
        return KeySetState(len(self._keys), algorithms, error)

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _refresh(self, now: float) -> None:
        """Fetches keys older than REFRESH_AGE again, and waits for the fetch if they are older than MAX_AGE."""
        age = now - self._fetched_at
        if age > REFRESH_AGE and now >= self._retry_at:
            self._fetch()
        if age > MAX_AGE:
            await self._wait(now + MAX_WAIT)

    def _fetch(self) -> None:
        """Starts a fetch, unless there is one."""
        if self._fetching is None:
            self._wait_until = asyncio.get_running_loop().time() + MAX_WAIT
            self._fetching = asyncio.create_task(self._fetch_in_time(), name="fetch the issuer's keys")

    async def _wait(self, until: float) -> None:
        """Waits for the running fetch, at most until MAX_WAIT after its start and until `until`."""
        left = min(self._wait_until, until) - asyncio.get_running_loop().time()
        if self._fetching is not None and left > 0:
            await asyncio.wait([self._fetching], timeout=left)

    async def _fetch_in_time(self) -> None:
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                self._address = self._address or self._fixed_address or await self._discover()
                keys = read_keys(await _get(self._address))
        except (UpstreamError, TimeoutError, ValueError, RecursionError) as error:
            self._address = ""
            self._retry_at = asyncio.get_running_loop().time() + RETRY_INTERVAL
            self._error = str(error) or "no answer in time"
            log.warning("the keys of --jwt-issuer %s cannot be fetched: %s", self._issuer, self._error)
        else:
            self._keys, self._fetched_at, self._error = keys, began, ""
        finally:
            self._fetching = None

    async def _discover(self) -> str:
        """The URL of the keys. Raises ValueError, UpstreamError."""
        document = await _get(self._issuer.rstrip("/") + CONFIGURATION)
        try:
            return read_keys_url(document, self._issuer)
        except ValueError as error:
            raise ValueError(f"{CONFIGURATION}: {error}") from error


class Issuers:
    """The keys of each issuer that was configured since the process began; they survive a reload."""

    def __init__(self) -> None:
        # state
        self._keys: dict[tuple[str, str], IssuerKeys] = {}

    def keys_of(self, issuer: str, address: str) -> IssuerKeys:
        """The same object for the same settings."""
        return self._keys.setdefault((issuer, address), IssuerKeys(issuer, address))

    async def close(self) -> None:
        for keys in self._keys.values():
            await keys.close()


async def _get(address: str) -> bytes:
    """The body of a document. Raises UpstreamError, ValueError."""
    url = URL(address)
    client = HttpClient(
        str(url.origin()),
        {"Accept": "application/json"},
        connect_timeout=FETCH_TIMEOUT,
        connect_retries=0,
        limits=Limits(whole=FETCH_TIMEOUT),
    )
    try:
        exchange = await client.request("GET", url.raw_path_qs)
        try:
            if exchange.status != 200:
                raise ValueError(f"{url.raw_path} has status {exchange.status}")
            body = b""
            while data := await exchange.read():
                body += data
                if len(body) > MAX_DOCUMENT:
                    raise ValueError(f"{url.raw_path} is longer than {MAX_DOCUMENT} bytes")
            return body
        finally:
            exchange.abort()
    finally:
        client.close()
