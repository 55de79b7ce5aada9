"""Interrupts a run whose session goes on, on gateways that can.

`/abort` answers alike where it works and where it does nothing (Agentick 0.9), so only the run itself tells: where it
works the run ends soon, and says that it was aborted.
"""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum, auto

from ...core.errors import UpstreamError
from ...core.events import RunFailed
from .gateway_client import Upstream
from .run import Run
from .run_state import RunState

ABORT_TO_END = 2.0
"""Seconds for an aborted run to end: a gateway interrupts it at the model's next event."""


class Outcome(Enum):
    """What became of a run that was to be interrupted."""

    ABORTED = auto()
    """Its turn has left the session's memory."""
    ENDED = auto()
    """It has come to its end by itself."""
    GOES_ON = auto()
    """It can be read on."""


async def abort(upstream: Upstream, key: str, run: Run, *, within: float | None = None) -> Outcome:
    """`within`: seconds for the run to end. Raises UpstreamError and its kin."""
    gateway, feature = upstream.dialect.gateway, upstream.features.abort
    if gateway is None or feature.works is False:
        return Outcome.GOES_ON
    await run.open()  # an abort that overtakes the call would abort nothing
    status, body = await upstream.call(gateway.build_abort(key))
    if gateway.is_unknown_method(status, body):
        feature.note(works=False)
    if status != 200:
        return Outcome.GOES_ON
    try:
        async with asyncio.timeout(ABORT_TO_END if within is None else within):
            if await _read_to_end(run):
                feature.note(works=True)
                return Outcome.ABORTED
    except TimeoutError:
        if feature.works is None:
            feature.note(works=False)
    return Outcome.ENDED if run.state is RunState.FINISHED else Outcome.GOES_ON


async def ask_to_abort(upstream: Upstream, key: str) -> None:
    """The same for a run that somebody else reads, who will see what comes of it."""
    gateway, feature = upstream.dialect.gateway, upstream.features.abort
    if gateway is not None and feature.works is not False:
        with contextlib.suppress(UpstreamError):
            status, body = await upstream.call(gateway.build_abort(key))
            if gateway.is_unknown_method(status, body):
                feature.note(works=False)


async def _read_to_end(run: Run) -> bool:
    """Whether its end was an abort. Raises UpstreamError and its kin."""
    run.resume()
    aborted = False
    async for events in run:
        for event in events:
            aborted = aborted or (isinstance(event, RunFailed) and event.aborted)
        if run.state is RunState.FINISHED:
            break
    return aborted
