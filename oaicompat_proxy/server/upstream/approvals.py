"""Sends confirmations of tool calls to the gateway. Only newer gateways accept them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

from ...core.errors import AgentError, AgentUnanswerable, ProxyError, UpstreamError
from ...core.events import ConfirmationRequired, Event
from .gateway_client import Upstream
from .run import Run

UNANSWERABLE = (
    "The agent waits for a confirmation, which this gateway's release does not accept; let the agent run this tool "
    "without asking."
)
NOT_PENDING = "The agent does not wait for this confirmation any more."


async def confirm(upstream: Upstream, session: str, call_id: str, *, confirmed: bool, reason: str = "") -> None:
    """Confirms or denies a tool call.

    Raises AgentUnanswerable if the gateway accepts no confirmations, and AgentError if the run does not.
    """
    gateway = upstream.gateway
    status, body = await upstream.call(gateway.build_confirmation(session, call_id, confirmed=confirmed, reason=reason))
    if status == 200:
        upstream.features.confirm.update(works=True)
        return
    if gateway.is_unknown_method(status, body):
        upstream.features.confirm.update(works=False)
        raise AgentUnanswerable(UNANSWERABLE)
    raise AgentError(NOT_PENDING)


async def can_confirm(upstream: Upstream) -> bool:
    """Whether the gateway may accept confirmations; tried once, with a session that does not exist."""
    gateway, feature = upstream.dialect.gateway, upstream.features.confirm
    if gateway is not None and feature.works is None:
        unknown = f"unknown-{uuid.uuid4().hex}"
        with contextlib.suppress(ProxyError):
            status, body = await upstream.call(gateway.build_confirmation(unknown, unknown, confirmed=False))
            if status not in (401, 403) and status < 500:
                feature.update(works=not gateway.is_unknown_method(status, body))
            elif gateway.is_unknown_method(status, body):
                feature.update(works=False)
    return feature.works is not False


def approve_all(run: Run, upstream: Upstream, session: str) -> None:
    """Confirms every tool call that `run` asks about (setting `confirmations = approve`).

    A confirmation that fails ends the run with that error.
    """
    approving: set[asyncio.Task[None]] = set()  # the event loop has only weak references to its tasks

    async def approve(call_id: str) -> None:
        try:
            await confirm(upstream, session, call_id, confirmed=True)
        except UpstreamError as error:
            run.abort(error)

    def on_event(event: Event) -> Event:
        if isinstance(event, ConfirmationRequired):
            task = asyncio.create_task(approve(event.call_id), name="approve tool")
            approving.add(task)
            task.add_done_callback(approving.discard)
        return event

    run.watch(on_event)
