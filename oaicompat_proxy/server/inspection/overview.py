"""Sessions, locks, the queue and the slots of each gateway at a glance."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from ...core.errors import StoreUnavailable
from ..gateway import Gateway


async def overview(gateways: Sequence[Gateway]) -> list[dict[str, Any]]:
    return [await _of(gateway) for gateway in gateways]


async def _of(gateway: Gateway) -> dict[str, Any]:
    limiter, counts, config = gateway.limiter, gateway.counts(), gateway.runtime.config
    return {
        "prefix": config.prefix,
        "dialect": config.dialect,
        "running": limiter.running,
        "max_runs": config.max_runs,
        "waiting": limiter.waiting,
        "max_waiting": config.max_waiting,
        "running_by_key": dict(sorted(limiter.running_by_key.items())[:50]),
        "sessions": await _sessions(gateway),
        "locks": gateway.locks.held,
        "finalizing": counts["finalizing"],
        "closing": counts["closing"],
        "cancelled": counts["cancelled"],
    }


async def _sessions(gateway: Gateway) -> int | None:
    """Number of sessions in which a conversation can continue; None if Redis does not answer."""
    with contextlib.suppress(StoreUnavailable):
        return await gateway.store.count()
    return None
