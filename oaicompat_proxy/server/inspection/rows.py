"""One row of the list of runs, as JSON."""

from __future__ import annotations

from typing import Any

from ...recordings.masking import mask_name
from ..observability.run_report import RunReport, RunSummary
from .inspected_run import InspectedRun
from .run_details import Shown

STATES = {"arrived": "reading", "waiting": "waiting", "running": "running", "over": "over"}

MAX_NAME = 200
"""Characters of a name that a client or an agent has made up."""


def row_of(run: InspectedRun, shown: Shown) -> dict[str, Any]:
    """`README.md` describes the fields."""
    if isinstance(run.report, RunReport):
        run.report.read_counters()
    seen, state = run.summary, STATES[run.phase]
    return {
        "id": run.id,
        "request_id": seen.request_id,
        "state": state,
        "waits_for": (run.waits_for or "run") if state == "waiting" else "",
        "outcome": seen.outcome if run.is_over else "",
        "error": seen.error_type,
        "status": seen.status,
        "finish_reason": seen.finish_reason,
        "api": seen.api,
        "model": _name(seen.model, shown),
        "key": seen.key_name,
        "client": seen.client,
        "session": shown.plain(seen.session)[:MAX_NAME],
        "stream": seen.stream,
        "arrived": round(run.arrived, 3),
        **_times(seen, over=run.is_over),
        **_counts(seen),
        "can_stop": not run.is_over and run.task is not None,
        "kept": "dropped" if run.is_dropped else "cut" if run.is_cut else "whole",
    }


def _name(name: str, shown: Shown) -> str:
    return shown.plain(name if shown.content else mask_name(name))[:MAX_NAME]


def _times(run: RunSummary, *, over: bool) -> dict[str, Any]:
    """The times of a run in seconds; None while unknown."""
    return {
        "waited": round(run.waited, 4),
        "first_event": _rounded(run.first_event),
        "first_token": _rounded(run.first_token),
        "duration": _rounded(run.duration) if over else None,
    }


def _counts(run: RunSummary) -> dict[str, Any]:
    usage = run.usage
    return {
        "ticks": run.ticks,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "chunks": run.chunks,
        "request_bytes": run.requested_bytes,
        "turn_bytes": run.turn_bytes,
        "received_bytes": run.received_bytes,
        "sent_bytes": run.sent_bytes,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
