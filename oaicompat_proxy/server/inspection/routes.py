"""The inspector's routes: its page, its JSON API, its event stream. `README.md` describes them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import parse_qs

from aiohttp import web

from ...core.errors import BodyTooLarge, InvalidRequest, MissingKey, NotFound, ProxyError
from ...pipeline.comparison import compare, translate
from ...recordings.format import Recording
from ..context import Handler
from ..http.body import read_body
from .access import COOKIE, COOKIE_LIFE
from .events import stream
from .inspected_run import InspectedRun, Place
from .inspector import INSPECTOR, Inspector
from .recording_file import encode, to_recording
from .responses import HEADERS, download_response, json_response, page_response
from .rows import row_of
from .run_details import Shown, error_json
from .run_feed import RunFeed

PREFIX = "/inspect"
FILES = ("app.js", "style.css", "icon.svg")
MAX_FORM = 4096
"""Bytes of the form with the key."""
FORM_TIMEOUT = 10.0

Visit = Callable[[web.Request, Inspector, str], Awaitable[web.StreamResponse]]
"""The request, the inspector and the visitor's name."""


def guarded(visit: Visit) -> Handler:
    """Wraps a handler of the API: a visitor without access gets an error, and nothing else."""

    async def guard(request: web.Request) -> web.StreamResponse:
        inspector = request.app[INSPECTOR]
        try:
            return await visit(request, inspector, await inspector.check(request))
        except ProxyError as error:
            response = json_response(error_json(error), error.status)
            if isinstance(error, NotFound):
                response.force_close()  # another worker may have the run, which only a new connection can reach
            return response

    return guard


async def page(request: web.Request) -> web.StreamResponse:
    """The page, or the form for a key."""
    try:
        await request.app[INSPECTOR].check(request)
    except MissingKey:
        return page_response("login.html", 401, message="")
    except ProxyError as error:
        return _plain(error)
    return page_response("index.html")


def new_file_handler(name: str) -> Handler:
    """A handler for a file of the page, which the login form needs, too."""

    async def file(request: web.Request) -> web.StreamResponse:
        try:
            await _check_without_key(request, request.app[INSPECTOR])
        except ProxyError as error:
            return _plain(error)
        return page_response(name)

    return file


async def log_in(request: web.Request) -> web.StreamResponse:
    """Exchanges the form's key for a cookie."""
    inspector = request.app[INSPECTOR]
    try:
        await _check_without_key(request, inspector)
        cookie = inspector.log_in(request, await _read_key(request))
    except (InvalidRequest, ProxyError) as error:
        return page_response("login.html", error.status, message=error.message)
    response = _go_to_page()
    secure = request.secure or request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
    response.set_cookie(
        COOKIE, cookie, max_age=COOKIE_LIFE, path=PREFIX, secure=secure, httponly=True, samesite="Strict"
    )
    return response


async def _log_out(request: web.Request, inspector: Inspector, visitor: str) -> web.StreamResponse:
    response = _go_to_page()
    response.del_cookie(COOKIE, path=PREFIX)
    return response


async def _check_without_key(request: web.Request, inspector: Inspector) -> None:
    """Checks everything but the key. Raises ProxyError."""
    try:
        await inspector.check(request)
    except MissingKey:
        return


async def _read_key(request: web.Request) -> str:
    """Raises InvalidRequest and what `read_body` raises."""
    if (request.content_length or 0) > MAX_FORM:
        raise BodyTooLarge("This is no key.")
    form = (await read_body(request, timeout=FORM_TIMEOUT))[:MAX_FORM].decode("utf-8", "replace")
    return parse_qs(form, max_num_fields=4).get("key", [""])[0].strip()


async def _list(request: web.Request, inspector: Inspector, visitor: str) -> web.StreamResponse:
    shown = inspector.shown(request)
    rows = [row_of(run, shown) for run in inspector.runs]
    return json_response({**await inspector.state(request), "runs": rows})


async def _show(request: web.Request, inspector: Inspector, visitor: str) -> web.StreamResponse:
    return json_response(await RunFeed(_find(request, inspector), inspector.shown(request)).advance())


async def _events(request: web.Request, inspector: Inspector, visitor: str) -> web.StreamResponse:
    return await stream(request, inspector)


async def _download(request: web.Request, inspector: Inspector, visitor: str) -> web.StreamResponse:
    run, shown = _find(request, inspector), inspector.shown(request)
    recording = _recording(run)
    lines = encode(recording, run.api, masked=not shown.content, secrets=shown.secrets)
    data = await asyncio.to_thread(b"".join, lines)
    name = re.sub(r"[^\w.-]", "_", run.summary.request_id, flags=re.ASCII)[:64]
    return download_response(data, f"{name}.jsonl")


async def _replay(request: web.Request, inspector: Inspector, visitor: str) -> web.StreamResponse:
    """Translates the recorded frames with the current code. The agent is not called."""
    run, shown = _find(request, inspector), inspector.shown(request)
    return json_response(await asyncio.to_thread(_replayed, run, _recording(run), shown))


def _replayed(run: InspectedRun, recording: Recording, shown: Shown) -> dict[str, object]:
    outcome = translate(recording)
    try:
        difference: list[str] | None = compare(replace(recording, masked=not shown.content))
    except ValueError:
        difference = None
    return {
        "status": outcome.status,
        "streamed": outcome.streamed,
        "is_cut": outcome.is_cut,
        "bytes": len(outcome.data),
        "text": shown.answer(outcome.data, run.api.recorded_fields),
        "difference": difference and [shown.plain(line) for line in difference],
    }


async def _stop(request: web.Request, inspector: Inspector, visitor: str) -> web.StreamResponse:
    run = _find(request, inspector)
    return json_response({"stopped": inspector.stop(request, run, visitor or "-")})


def _find(request: web.Request, inspector: Inspector) -> InspectedRun:
    run = inspector.runs.find(request.match_info["run"])
    if run is None:
        raise NotFound("There is no such run here: it was dropped, or another worker has it.", code="run_not_found")
    return run


def _recording(run: InspectedRun) -> Recording:
    """Raises InvalidRequest."""
    if run.options is None or run.is_dropped:
        raise InvalidRequest("This run has no frames: it never began, or they were dropped.", code="no_recording")
    found, _ = run.entries(Place(time=run.summary.began))
    entries = [(run.ms(moment), kind, data) for moment, kind, data in found]
    if run.is_over:
        entries.append((1000 * run.summary.duration, "end", _ending(run)))
    return to_recording(run.options, entries, run.summary.request_id)


def _ending(run: InspectedRun) -> bytes:
    return {"success": b"answered", "client_gone": b"the client left"}.get(run.summary.outcome, b"failed")


def _plain(error: ProxyError) -> web.Response:
    return web.Response(status=error.status, text=f"{error.message}\n", headers=HEADERS)


def _go_to_page() -> web.Response:
    return web.Response(status=303, headers={**HEADERS, "Location": PREFIX})


ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", PREFIX): page,
    **{("GET", f"{PREFIX}/{name}"): new_file_handler(name) for name in FILES},
    ("POST", f"{PREFIX}/login"): log_in,
    ("POST", f"{PREFIX}/logout"): guarded(_log_out),
    ("GET", f"{PREFIX}/api/runs"): guarded(_list),
    ("GET", f"{PREFIX}/api/events"): guarded(_events),
    ("GET", f"{PREFIX}/api/runs/{{run}}"): guarded(_show),
    ("GET", f"{PREFIX}/api/runs/{{run}}/recording"): guarded(_download),
    ("GET", f"{PREFIX}/api/runs/{{run}}/replay"): guarded(_replay),
    ("POST", f"{PREFIX}/api/runs/{{run}}/stop"): guarded(_stop),
}

FORM = (f"{PREFIX}/login", f"{PREFIX}/logout")

HANDLERS = frozenset(ROUTES.values())
"""The handlers, which check access themselves."""


def add_routes(app: web.Application, inspector: Inspector) -> None:
    app[INSPECTOR] = inspector
    for (method, path), handler in ROUTES.items():
        if inspector.has_form or path not in FORM:
            app.router.add_route(method, path, handler)
