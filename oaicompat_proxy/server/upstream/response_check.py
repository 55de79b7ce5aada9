"""What it means when the gateway answers the call of a run with anything but an event stream."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping

from ...core.errors import Forbidden, InvalidKey, ModelNotFound, UpstreamError, UpstreamRefused
from .http_exchange import Exchange

_REFUSALS = {
    401: "The agent gateway refused this proxy's token (401); the operator must check --upstream-token.",
    403: "The agent gateway forbids this proxy the call (403); the operator must check --upstream-token.",
    404: "There is no agent gateway at the configured address (404); the operator must check --upstream.",
    405: "There is no agent gateway at the configured address (405); the operator must check --upstream.",
}


def check_credentials(status: int) -> None:
    """For a call with the client's own. Raises InvalidKey and Forbidden."""
    if status == 401:
        raise InvalidKey("The agent gateway does not accept your API key.")
    if status == 403:
        raise Forbidden("The agent gateway does not allow this to your API key.")


UNKNOWN_APP = frozenset({400, 404, 500})
"""Statuses with which a gateway may refuse an app; mostly it does so in a stream."""

_REASON = 4096
"""Bytes of a refusal that are read for its reason, at most."""
_REASON_WAIT = 1.0
"""Seconds for them."""


async def check_app(exchange: Exchange, means_unknown_app: Callable[[bytes], bool]) -> None:
    """Raises ModelNotFound."""
    reason = b""
    with contextlib.suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(_REASON_WAIT):
            while len(reason) < _REASON and (data := await exchange.read()):
                reason += data
    if means_unknown_app(reason):
        raise ModelNotFound("The model does not exist or you do not have access to it.")


def check_stream(exchange: Exchange, headers: Mapping[bytes, bytes]) -> None:
    """Raises UpstreamRefused and UpstreamError."""
    if exchange.status in _REFUSALS:
        raise UpstreamRefused(_REFUSALS[exchange.status])
    if exchange.status != 200:
        raise UpstreamError(f"The agent gateway answered with status {exchange.status}.")
    content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type != b"text/event-stream":
        raise UpstreamError(
            f"The agent gateway answered with {_shown(content_type)} instead of an event "
            "stream; the operator must check --upstream."
        )


LONGEST_TYPE = 80
"""Characters of a media type that an error repeats."""

_MEDIA_TYPE = re.compile(rb"[\w.+-]+/[\w.+-]+", re.ASCII)


def _shown(content_type: bytes) -> str:
    """Only what is a media type, and not a word of the gateway's own."""
    if not content_type:
        return "nothing"
    if len(content_type) > LONGEST_TYPE or not _MEDIA_TYPE.fullmatch(content_type):
        return "something that is no media type"
    return content_type.decode("ascii")
