"""`GET …/usage`: who used what of the current day and month, for the command `usage`.

It needs a key whose entry says `usage = true`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from ...core.budget import Budget, Period, periods_at
from ...core.errors import NotPermitted
from ..access.authenticator import Authenticator
from ..access.usage_store import Count, Subject
from ..context import CONTEXT

PATH = "/usage"


async def show_usage(request: web.Request) -> web.Response:
    """Raises NotPermitted, SessionsUnavailable."""
    context = request[CONTEXT]
    if not context.caller.may_see_usage:
        raise NotPermitted("To see who used what, the entry of your key in the keys file needs usage = true.")
    periods: dict[str, Any] = {}
    for period in periods_at(time.time()):
        counts = await context.server.budgets.usage(period)
        rows = [_row(each, counts[each], period, context.server.authenticator) for each in sorted(counts, key=_order)]
        periods[period.kind] = {"name": period.name, "ends": int(period.ends), "used": rows}
    return web.json_response({"object": "usage", **periods})


def _order(subject: Subject) -> tuple[str, bool, str]:
    return subject.key, subject.user is None, subject.user or ""


def _row(subject: Subject, count: Count, period: Period, keys: Authenticator) -> dict[str, Any]:
    """`user`: null for the whole key."""
    caller = keys.caller_named(subject.key)
    budget = caller.budget if subject.user == "" else caller.user_budget
    user = {"": None, None: "(all others)"}.get(subject.user, subject.user)
    return {"key": subject.key, "user": user, **count._asdict(), **dict(_limits(budget, period))}


def _limits(budget: Budget | None, period: Period) -> Iterator[tuple[str, int]]:
    for _, unit, limit in budget.limits([period]) if budget is not None else ():
        yield f"{unit}_limit", limit
