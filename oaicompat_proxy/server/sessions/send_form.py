"""Finds out which form of a run's request a gateway reads.

A request that every gateway reads has its last message twice, once in each form. Of a coding agent's request most is
the declarations of its tools, which go with every turn: 65 KB with Claude Code. A gateway answers an empty request with
the form that it expects, so it is asked once, before the first request that is large.
"""

from __future__ import annotations

from ...core.errors import ProxyError
from ...dialects.protocol import GatewayMethods
from ..upstream.gateway_client import Upstream
from ..upstream.http_exchange import Limits

LARGE = 16 * 1024
"""Bytes of a client's request; a smaller one is sent in both forms while the gateway's form is unknown."""

ANSWER_WAIT = 5.0
"""Seconds for the gateway's answer, which it gives without any work."""


async def find_send_form(upstream: Upstream) -> None:
    """Asks the gateway for its form of request if it was not asked."""
    gateway = upstream.dialect.gateway
    if gateway is not None and upstream.features.send_form.name is None:
        await ask_for_form(upstream, gateway)


async def ask_for_form(upstream: Upstream, gateway: GatewayMethods) -> tuple[int, bytes] | None:
    """Status and body of the answer to an empty request, which starts no run; None if there is none."""
    try:
        answer = await upstream.call(gateway.build_empty_send(), Limits(ANSWER_WAIT, ANSWER_WAIT, ANSWER_WAIT))
    except ProxyError:
        upstream.features.send_form.update("")
        return None
    upstream.features.send_form.update(gateway.parse_send_form(*answer))
    return answer
