"""Nobody gets further without a key, and nobody faster than the key's limit: before anything of a body is read.

Preflights come without a key, as browsers make them; health is asked by machines that have none.
"""

from __future__ import annotations

from aiohttp import web

from ..errors import MissingKey, RateLimited
from ..keyring import Caller
from ..openai.rate_limits import duration, rate_headers
from . import health, scrape
from .keys import CALLER, CALLERS, CLIENT, RATE_HEADERS, RATES
from .middleware import Handler
from .reporting import report_refusal

NEED_NO_KEY = frozenset({health.live, health.ready, scrape.metrics})


@web.middleware
async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raises MissingKey, InvalidKey and RateLimited."""
    callers = request.app[CALLERS]
    request[CLIENT] = callers.address(request)
    if request.method == "OPTIONS" or request.match_info.handler in NEED_NO_KEY:
        return await handler(request)
    try:
        caller = request[CALLER] = callers.identify(request.headers)
        if caller.requests_per_minute and request.method == "POST":
            await _count(request, caller)
    except (MissingKey, RateLimited) as error:
        report_refusal(request, error)
        raise
    return await handler(request)


async def _count(request: web.Request, caller: Caller) -> None:
    """A request that fails counts too, as OpenAI counts."""
    rate = await request.app[RATES].count(caller)
    request[RATE_HEADERS] = rate_headers(limit=rate.limit, remaining=rate.remaining, reset=rate.reset)
    if not rate.admitted:
        raise RateLimited(
            f"Rate limit reached for requests per minute: Limit {rate.limit}. "
            f"Please try again in {duration(rate.reset)}.",
            retry_after=rate.reset,
        )
