"""`GET …/usage`: tokens and runs of the current day and month by key and user, for the command `usage`.

It needs a key whose entry says `usage = true`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from ...core.budget import Budget, Period, periods_at
from ...core.caller import Caller
from ...core.errors import Forbidden
from ..access.usage_store import Count, Subject
from ..context import CONTEXT

PATH = "/usage"


async def show_usage(request: web.Request) -> web.Response:
    """Raises Forbidden, StoreUnavailable."""
    context = request[CONTEXT]
    if not context.caller.may_see_usage:
        raise Forbidden("To see the usage of keys and users, your key needs usage = true in the keys file.")
    keys, periods = context.server.authenticator, periods_at(time.time())
    used = [(period, await context.server.budgets.usage(period)) for period in periods]
    callers = {name: keys.caller_named(name) for name in {each.key for _, counts in used for each in counts}}
    body = await asyncio.to_thread(_encode, used, callers)  # takes a second for 100,000 users
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def _encode(used: Sequence[tuple[Period, Mapping[Subject, Count]]], callers: Mapping[str, Caller]) -> bytes:
    """Encodes row by row: one `json.dumps` of all would hold the GIL to its end."""
    periods = {
        period.kind: {
            "name": period.name,
            "ends": int(period.ends),
            "used": [_row(each, counts[each], period, callers[each.key]) for each in sorted(counts, key=_order)],
        }
        for period, counts in used
    }
    return "".join(json.JSONEncoder().iterencode({"object": "usage", **periods})).encode()


def _order(subject: Subject) -> tuple[str, bool, str]:
    return subject.key, subject.user is None, subject.user or ""


def _row(subject: Subject, count: Count, period: Period, caller: Caller) -> dict[str, Any]:
    """`user`: null for the whole key."""
    budget = caller.budget if subject.user == "" else caller.user_budget
    user = {"": None, None: "(all others)"}.get(subject.user, subject.user)
    return {"key": subject.key, "user": user, **count._asdict(), **dict(_limits(budget, period))}


def _limits(budget: Budget | None, period: Period) -> Iterator[tuple[str, int]]:
    for _, unit, limit in budget.limits([period]) if budget is not None else ():
        yield f"{unit}_limit", limit
