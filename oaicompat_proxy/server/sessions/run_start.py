"""Starts the run of a lease."""

from __future__ import annotations

from collections.abc import Callable

from ...core.turn import Turn
from ..random_ids import new_id
from ..upstream.approvals import approve_all
from ..upstream.event_source import EventSource
from ..upstream.run import Run
from .lease import Lease
from .restarting_run import RestartingRun


def start(lease: Lease, turn: Turn, *, approves: bool, on_restart: Callable[[Run], None]) -> EventSource:
    """`approves`: confirms all tool calls (setting `confirmations`). `on_restart`: as in RestartingRun."""
    if approves and lease.upstream.dialect.gateway is None:
        return RestartingRun(lambda turn: _start(lease, turn), turn, on_restart=on_restart)
    run = _start(lease, turn)
    if approves:
        approve_all(run, lease.upstream, lease.key)
    return run


def _start(lease: Lease, turn: Turn) -> Run:
    upstream, run_id = lease.upstream, new_id()
    form = upstream.features.send_form.name or ""
    call = upstream.dialect.build_run(turn, app=lease.app, key=lease.key, run_id=run_id, form=form)
    lease.run = upstream.run(call, run_id)
    return lease.run
