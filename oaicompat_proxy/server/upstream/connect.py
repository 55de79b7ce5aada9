"""Connects to the gateway, with retries while it restarts (decision D12).

Only a connect is ever retried: without a connection no byte of a request has been sent, so no run can have begun.
A gateway that restarts, or a host name that moves, is usually back within two seconds. A name is resolved for each
connection. If it has several addresses, one that does not answer costs a quarter of a second and not the connection.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from aiohappyeyeballs import AddrInfoType, start_connection
from yarl import URL

from ...core.errors import UpstreamConnectTimeout, UpstreamUnreachable

FIRST_PAUSE = 0.1
"""Seconds before the first retry; each later pause is twice as long."""

JITTER = 0.1
"""Seconds of random delay added to a pause, so that waiting requests do not all return at once."""

NEXT_ADDRESS_AFTER = 0.25
"""Seconds that one address of a name has to answer before the next is tried beside it, as RFC 8305 recommends."""

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
        host, port = self.url.raw_host or "", self.url.port or 80
        if self._file:
            _, protocol = await loop.create_unix_connection(new_protocol, self._file)
        elif _is_address(host):
            _, protocol = await loop.create_connection(new_protocol, host, port, ssl=self._tls)
        else:
            connected = await start_connection(await resolve(host, port), happy_eyeballs_delay=NEXT_ADDRESS_AFTER)
            name = host if self._tls else None
            _, protocol = await loop.create_connection(
                new_protocol, sock=connected, ssl=self._tls, server_hostname=name
            )
        return protocol


async def resolve(host: str, port: int) -> Sequence[AddrInfoType]:
    """The addresses of a name, in the order in which they are tried. Raises OSError."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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
        raise UpstreamUnreachable(_describe(error)) from _in_words_of_the_system(error)


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


def _in_words_of_the_system(error: OSError) -> OSError:
    """The error with a reason such as "Connection refused"; event loops may say "Connect call failed" instead."""
    if error.errno is None or isinstance(error, ssl.SSLError | socket.gaierror):
        return error
    return OSError(error.errno, os.strerror(error.errno))
