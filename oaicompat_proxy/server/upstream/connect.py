"""Connects to the gateway, with retries while it restarts (decision D12).

Only a connect is ever retried: without a connection no byte of a request has been sent, so no run can have begun.
A gateway that restarts, or a host name that moves, is usually back within two seconds.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

from yarl import URL

from ...core.errors import UpstreamConnectTimeout, UpstreamUnreachable

FIRST_PAUSE = 0.1
"""Seconds before the first retry; each later pause is twice as long."""

JITTER = 0.1
"""Seconds of random delay added to a pause, so that waiting requests do not all return at once."""

Connected = TypeVar("Connected")
Protocol = TypeVar("Protocol", bound=asyncio.Protocol)


class Endpoint:
    """The address at which the gateway listens."""

    def __init__(self, base: str) -> None:
        """`base`: http or https, or unix:FILE."""
        self._file = base.removeprefix("unix:") if base.startswith("unix:") else ""
        self.url = URL("http://localhost" if self._file else base)
        """The base URL for requests."""
        self._tls = ssl.create_default_context() if self.url.scheme == "https" else None

    async def connect(self, new_protocol: Callable[[], Protocol]) -> Protocol:
        """Connects once. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self._file:
            _, protocol = await loop.create_unix_connection(new_protocol, self._file)
        else:
            host, port = self.url.raw_host or "", self.url.port or 80
            _, protocol = await loop.create_connection(new_protocol, host, port, ssl=self._tls)
        return protocol


async def connect_with_retries(
    connect: Callable[[], Awaitable[Connected]], *, within: float, retries: int
) -> Connected:
    """Returns what `connect` returns. `within`: seconds for all attempts and the pauses between them.

    A loop of its own: tenacity leaves 24 objects of cyclic garbage for each connection, with a retry or without.
    Raises UpstreamUnreachable, or UpstreamConnectTimeout when the time has run out.
    """
    try:
        async with asyncio.timeout(within):
            for retry in range(retries):
                try:
                    return await connect()
                except OSError as error:
                    if not _is_transient(error):
                        raise
                await asyncio.sleep(FIRST_PAUSE * 2**retry + random.uniform(0, JITTER))
            return await connect()
    except TimeoutError:
        raise UpstreamConnectTimeout("The agent gateway could not be reached in time.") from None
    except OSError as error:
        raise UpstreamUnreachable(_describe(error)) from error


def _is_transient(error: OSError) -> bool:
    """Whether a retry can help: refused, reset, unknown host, no route; not a bad certificate or a timeout."""
    return not isinstance(error, ssl.SSLError | TimeoutError)


def _describe(error: OSError) -> str:
    """The error message. A gateway that fails at TLS is running, and only its operator can mend it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "The agent gateway's TLS certificate is not accepted; the operator must check it, and --upstream."
    if isinstance(error, ssl.SSLError):
        return "The TLS handshake with the agent gateway failed; the operator must check whether --upstream is https."
    return "The agent gateway cannot be reached; is it running?"
