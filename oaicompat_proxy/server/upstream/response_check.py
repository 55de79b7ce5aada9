"""Checks the response to the call of a run: an event stream, or the error that explains why there is none."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from ...core.errors import (
    Forbidden,
    InvalidKey,
    ModelNotFound,
    UpstreamBusy,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
)
from .http_exchange import Exchange

_ERRORS = {
    401: "The agent gateway refused this proxy's token (401); the operator must check --upstream-token.",
    403: "The agent gateway forbids this proxy the call (403); the operator must check --upstream-token.",
    404: "There is no agent gateway at the configured address (404); the operator must check --upstream.",
    405: "There is no agent gateway at the configured address (405); the operator must check --upstream.",
}


def check_credentials(status: int) -> None:
    """Checks the status of a call with the client's credentials. Raises InvalidKey and Forbidden."""
    if status == 401:
        raise InvalidKey("The agent gateway does not accept your API key.")
    if status == 403:
        raise Forbidden("The agent gateway does not allow this to your API key.")


UNKNOWN_APP = frozenset({400, 404, 500})
"""Statuses with which a gateway may reject an unknown app; mostly it does so in the event stream."""

_MAX_REASON = 4096
"""Bytes that are read of an error body."""

_REASON_WAIT = 1.0
"""Seconds for reading an error body."""


async def check_app(exchange: Exchange, means_unknown_app: Callable[[bytes], bool]) -> None:
    """Raises ModelNotFound if the error body says that the app is unknown."""
    reason = b""
    with contextlib.suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(_REASON_WAIT):
            while len(reason) < _MAX_REASON and (data := await exchange.read()):
                reason += data
    if means_unknown_app(reason):
        raise ModelNotFound("The model does not exist or you do not have access to it.")


def check_stream(exchange: Exchange, headers: Mapping[bytes, bytes]) -> None:
    """Raises UpstreamError or a subclass unless the response is an event stream."""
    if exchange.status in _ERRORS:
        raise UpstreamRefused(_ERRORS[exchange.status])
    if 300 <= exchange.status < 400:  # a framework's way from a path without a slash at its end to the one with it
        raise UpstreamError(
            f"The agent gateway redirects to another address ({exchange.status}); the operator must check "
            "--upstream, also the slash at its end."
        )
    if exchange.status in (429, 503):
        raise _busy(exchange.status, _retry_after(headers.get(b"retry-after", b"")))
    if not 200 <= exchange.status < 300:  # NestJS answers a POST with 201
        raise UpstreamError(f"The agent gateway answered with status {exchange.status}.")
    content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type != b"text/event-stream":
        raise UpstreamError(
            f"The agent gateway answered with {_describe(content_type)} instead of an event "
            "stream; the operator must check --upstream."
        )


def _busy(status: int, retry_after: float | None) -> UpstreamError:
    """429 is a refusal. 503 is one if its sender knows when to try again; a balancer also sends it for a backend that
    broke off, which may have begun the run."""
    if status == 429:
        return UpstreamRateLimited(
            "The agent gateway limits the rate of this proxy's requests (429); try again later.",
            retry_after=retry_after,
        )
    if retry_after is None:
        return UpstreamOverloaded("The agent gateway is overloaded or unavailable (503).")
    return UpstreamBusy(
        "The agent gateway is overloaded or unavailable (503); try again later.", retry_after=retry_after
    )


MAX_RETRY_AFTER = 3600.0
"""Seconds that are passed on at most: no client waits longer, and a wrong clock may name any time."""


def _retry_after(value: bytes) -> float | None:
    """The seconds of a `Retry-After` header, RFC 9110 section 10.2.3; None without one that can be read."""
    text = value.decode("latin-1").strip()
    if re.fullmatch("[0-9]{1,9}", text):
        return min(float(text), MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(math.ceil(seconds), 0.0), MAX_RETRY_AFTER)


MAX_MEDIA_TYPE = 80
"""Characters of a media type that an error message repeats."""

_MEDIA_TYPE = re.compile(rb"[\w.+-]+/[\w.+-]+", re.ASCII)


def _describe(content_type: bytes) -> str:
    """The media type for an error message, which repeats nothing else that the gateway sent."""
    if not content_type:
        return "nothing"
    if len(content_type) > MAX_MEDIA_TYPE or not _MEDIA_TYPE.fullmatch(content_type):
        return "something that is no media type"
    return content_type.decode("ascii")
