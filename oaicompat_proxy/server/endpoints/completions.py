"""`POST …/completions`: the older endpoint, for editors and tools that still call it."""

from __future__ import annotations

import time

from aiohttp import web

from ...api.openai.completions.encoder import CompletionCollector, CompletionEncoder
from ...api.openai.completions.request import parse_completion
from ...api.openai.parameters import METADATA_KEY
from ...config.settings import Config
from ...core.answer import Envelope
from ...core.message import Text
from ...core.turn import Turn
from ...translation.translator import Translator
from ..answering.answer import collect_answer, stream_answer
from ..context import CALLER, CONFIG, PER_MODEL
from ..http.body import take_body
from ..observability.run_report import REPORT
from ..random_ids import new_id
from ..recording.recorder import tap
from ..sessions.lease import SessionRequest
from ..sessions.run_start import start
from ..sessions.sessions import SESSIONS
from ..turns import give_way
from ..upstream.catalog import CATALOG, DEFAULT_MODEL


async def completions(request: web.Request) -> web.StreamResponse:
    """The prompt is the turn, in a session of its own; of the answer only its text is shown.

    Raises ProxyError as chat does. Nobody can be asked here, so a question is denied unless all are approved.
    """
    report = request[REPORT]
    body = await take_body(request)
    report.note_body(len(body))
    config = request.app[CONFIG]
    asked = parse_completion(body, max_values=config.max_values, max_text=config.max_text)
    del body
    await give_way(report.requested_bytes)
    model = asked.model or DEFAULT_MODEL
    report.note_request(model, stream=asked.stream)
    app = await request.app[CATALOG].find(asked.model, request[CALLER])
    config = request.app[PER_MODEL].of(model)
    approves = config.confirmations == "approve"
    translator = _translator(config, model, approves=approves)
    metadata = {METADATA_KEY: dict(asked.parameters)} if asked.parameters else {}
    echo = asked.prompt if asked.echo else ""
    sessions = request.app[SESSIONS]
    report.note_wait()
    wanted = SessionRequest(app, request[CALLER], model, messages=(), size=report.requested_bytes)
    async with await sessions.lease(wanted) as lease:
        report.note_turn(lease.key)
        if report.headers:
            lease.upstream = lease.upstream.observed(report.headers, report.watch)
        run = start(lease, Turn((Text(asked.prompt),), metadata), approves=approves)
        tap(request, lease.started_run, asked, "completion", echo=echo)
        report.note_run(lease.started_run)
        envelope = Envelope(f"cmpl-{new_id()}", int(time.time()), model)
        if asked.stream:
            encoder = CompletionEncoder(envelope, include_usage=asked.include_usage, echo=echo)
            return await stream_answer(request, run, translator, encoder)
        return await collect_answer(request, run, translator, CompletionCollector(envelope, echo=echo))


def _translator(config: Config, model: str, *, approves: bool) -> Translator:
    return Translator(
        model=model,
        tool_names=frozenset(),
        tick_separator=config.tick_separator,
        server_tools=config.server_tools,
        confirmations="approve" if approves else "deny",
        secret=config.upstream_token,
        max_held=config.max_answer,
    )
