"""Follows one run for a reader: everything so far, then the changes."""

from __future__ import annotations

import asyncio
from typing import Any

from ...core.answer_options import AnswerOptions
from .inspected_run import InspectedRun, Item, Place
from .rows import row_of
from .run_details import Shown
from .run_view import RunView

Json = dict[str, Any]


class RunFeed:
    """One reader of one run."""

    def __init__(self, run: InspectedRun, shown: Shown) -> None:
        self._run = run
        self._shown = shown
        # state
        self._view: RunView | None = None
        self._place = Place(time=run.summary.began)
        self._last: Json = {}
        self._ended = False

    async def advance(self) -> Json | None:
        """New frames and events, with all other fields; None if nothing is new. Translates in a thread."""
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
        found = await asyncio.to_thread(self._translate, options, items, is_over)
        return {"run": row, **self._beside(), **found}

    def _translate(self, options: AnswerOptions, items: list[Item], is_over: bool) -> Json:
        run, shown = self._run, self._shown
        if self._view is None:
            self._view = RunView(run.api, options, content=shown.content, secrets=shown.secrets)
        for moment, kind, data in items:
            self._view.add(run.ms(moment), kind, data)
        if is_over:
            self._view.end(1000 * run.summary.duration)
        return self._view.take()

    def _beside(self) -> Json:
        run, shown = self._run, self._shown
        return {
            "request": {
                "method": run.call.method,
                "url": shown.plain(run.call.url),
                "headers": shown.headers(run.call.headers),
                **shown.body(run.sent),
            },
            "turns": [{"path": shown.plain(turn.path), **shown.body(turn.body)} for turn in run.turns],
            "error": self._error(),
            "options": self._options(),
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
