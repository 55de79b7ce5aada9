"""Interrupts a run in a session that continues, by the gateway's `/abort`.

Agentick 0.9 sends the same response whether `/abort` works or does nothing. Only the run shows it: if `/abort` works,
the run ends soon with an event that says that it was aborted.
"""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum, auto

from ...core.errors import UpstreamError
from ...core.events import RunFailed
from .gateway_client import Upstream
from .run import Run

ABORT_TO_END = 2.0
"""Seconds for an aborted run to end: a gateway interrupts it at the model's next event."""


class Interruption(Enum):
    """The outcome of an attempt to interrupt a run."""

    ABORTED = auto()
    """The run has ended, and the session's memory does not contain its turn."""
    ENDED = auto()
    """The run has ended by itself."""
    CONTINUES = auto()
    """The run goes on and can still be read."""


async def interrupt_run(upstream: Upstream, key: str, run: Run, *, within: float | None = None) -> Interruption:
    """Aborts a run, and reads it to its end. `within`: seconds for that. Raises UpstreamError or a subclass."""
    gateway, feature = upstream.dialect.gateway, upstream.features.abort
    if gateway is None or feature.works is False:
        return Interruption.CONTINUES
    await run.open()  # an abort that overtakes the call would abort nothing
    status, body = await upstream.call(gateway.build_abort(key))
    if gateway.is_unknown_method(status, body):
        feature.update(works=False)
    if status != 200:
        return Interruption.CONTINUES
    try:
        async with asyncio.timeout(ABORT_TO_END if within is None else within):
            if await _read_to_end(run):
                feature.update(works=True)
                return Interruption.ABORTED
    except TimeoutError:
        if feature.works is None:
            feature.update(works=False)
    return Interruption.ENDED if run.state == "finished" else Interruption.CONTINUES


async def send_abort(upstream: Upstream, key: str) -> None:
    """Sends `/abort` for a run that another request reads; that request sees the outcome."""
    gateway, feature = upstream.dialect.gateway, upstream.features.abort
    if gateway is not None and feature.works is not False:
        with contextlib.suppress(UpstreamError):
            status, body = await upstream.call(gateway.build_abort(key))
            if gateway.is_unknown_method(status, body):
                feature.update(works=False)


async def _read_to_end(run: Run) -> bool:
    """Whether the run's end was an abort. Raises UpstreamError or a subclass."""
    run.resume()
    aborted = False
    async for events in run:
        for event in events:
            aborted = aborted or (isinstance(event, RunFailed) and event.aborted)
        if run.state == "finished":
            break
    return aborted
