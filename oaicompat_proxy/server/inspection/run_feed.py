"""Follows one run for a reader: everything so far, then the changes."""

from __future__ import annotations

import asyncio
from typing import Any

from ...core.answer_options import AnswerOptions
from .inspected_run import InspectedRun, Item, Place, SentTurn
from .rows import row_of
from .run_details import Shown
from .run_view import RunView

Json = dict[str, Any]
Bodies = tuple[bytes | None, tuple[SentTurn, ...] | None]


class RunFeed:
    """One reader of one run."""

    def __init__(self, run: InspectedRun, shown: Shown) -> None:
        self._run = run
        self._shown = shown
        # state
        self._view: RunView | None = None
        self._place = Place(time=run.summary.began)
        self._last: Json = {}
        self._bodies: Bodies = (None, None)
        """The request and the turns that were shown."""
        self._ended = False

    async def advance(self) -> Json | None:
        """New frames and events, with all fields that are small or have changed; None if nothing is new.

        Translates and masks in a thread: a body of 1 MB takes 0.05 to 0.6 s.
        """
        run = self._run
        row = row_of(run, self._shown)
        items, place = run.entries(self._place)
        if self._ended or (not items and row == self._last):
            return None
        is_over = run.is_over
        self._place = place
        self._last = row
        self._ended = is_over
        options = run.options or AnswerOptions(api=run.api.name)
        changed = self._changed_bodies()
        found = await asyncio.to_thread(self._translate, options, items, changed, is_over)
        return {"run": row, "error": self._error(), "options": self._options(), **found}

    def _changed_bodies(self) -> Bodies:
        """The request and the turns, each only if it is not what was last shown."""
        run, last = self._run, self._bodies
        request, turns = run.sent, tuple(run.turns)
        self._bodies = (request, turns)
        return (None if request is last[0] else request, None if turns == last[1] else turns)

    def _translate(self, options: AnswerOptions, items: list[Item], changed: Bodies, is_over: bool) -> Json:
        run, shown = self._run, self._shown
        if self._view is None:
            self._view = RunView(run.api, options, content=shown.content, secrets=shown.secrets)
        for moment, kind, data in items:
            self._view.add(run.ms(moment), kind, data)
        if is_over:
            self._view.end(1000 * run.summary.duration)
        return {**self._show_bodies(*changed), **self._view.changes()}

    def _show_bodies(self, request: bytes | None, turns: tuple[SentTurn, ...] | None) -> Json:
        found: Json = {}
        if request is not None:
            found["request"] = self._request(request)
        if turns is not None:
            found["turns"] = [{"path": self._shown.plain(turn.path), **self._shown.body(turn.body)} for turn in turns]
        return found

    def _request(self, body: bytes) -> Json:
        call, shown = self._run.call, self._shown
        return {
            "method": call.method,
            "url": shown.plain(call.url),
            "headers": shown.headers(call.headers),
            **shown.body(body),
        }

    def _error(self) -> Json | None:
        failure = self._run.failure
        if failure is None:
            return None
        return {
            "kind": failure.kind,
            "code": failure.code,
            "status": failure.status,
            "message": self._shown.plain(failure.message),
            "causes": [self._shown.plain(cause) for cause in failure.causes],
        }

    def _options(self) -> Json:
        options = self._run.options
        if options is None:
            return {}
        return {
            "dialect": options.dialect,
            "server_tools": options.server_tools,
            "confirmations": options.confirmations,
        }
