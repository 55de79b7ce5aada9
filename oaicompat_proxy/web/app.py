"""The application: routes, and what lives as long as the process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator

from aiohttp import web

from ..config import Config
from ..flags import read_environment
from . import chat, completions, diagnostics, health, models, scrape
from .authorization import add_rate_headers, admit
from .callers import Callers
from .catalog import Catalog
from .closing import Closer, Closing, NothingToClose
from .headers import add_headers
from .keys import CALLERS, CATALOG, CONFIG, RATES, SECRET, SESSIONS, SLOTS, STARTED, STOPPING, TRAFFIC, UPSTREAM
from .middleware import errors_to_bodies
from .observing import observing
from .rates import Rates
from .recorder import Recorder
from .redis_client import connect
from .reporting import OPERATIONS, report_refusals, reported
from .run_log import formatter
from .run_once import RunOnce
from .run_report import Traffic
from .session_locks import MemoryLocks, RedisLocks, SessionLocks
from .session_store import MemoryStore, RedisStore, SessionStore
from .sessions import Sessions
from .slots import Slots
from .stopping import Stopping
from .upstream import Upstream


def create_app(config: Config, *, upstream: str = "") -> web.Application:
    """`upstream`: the gateway's address where it is not the configured one, as with the demo agent.

    Raises ConfigError for keys that cannot be used.
    """
    app = web.Application(client_max_size=config.max_body, middlewares=[errors_to_bodies, report_refusals, admit])
    app[CONFIG] = config
    app[SECRET] = make_secret(config)
    app[STARTED] = int(time.time())
    app[CALLERS] = Callers(config)
    app[SLOTS] = Slots(config)
    app[TRAFFIC] = Traffic()
    once = RunOnce(config)
    app[STOPPING] = Stopping()

    async def agents(app: web.Application) -> AsyncIterator[None]:
        async with _shared(config) as (locks, store, rates):
            app[RATES] = rates
            app[UPSTREAM] = Upstream(config, upstream or config.upstream)
            app[CATALOG] = Catalog(app[UPSTREAM], config.model, ttl=config.models_ttl)
            closer = _new_closer(app[UPSTREAM], config)
            sessions = app[SESSIONS] = Sessions(
                app[UPSTREAM], config, app[SECRET], slots=app[SLOTS], closer=closer, locks=locks, store=store
            )
            async with observing(app, closer=closer, locks=locks, store=store):
                sweeping = asyncio.create_task(sessions.sweep(), name="sweep sessions")
                yield
                sweeping.cancel()
                await asyncio.wait([sweeping])
                await once.settle()
                await sessions.settle()
            app[UPSTREAM].close()

    app.cleanup_ctx.append(agents)
    app.on_response_prepare.append(add_headers)
    app.on_response_prepare.append(add_rate_headers)
    _add_routes(app, config, once)
    return app


def _add_routes(app: web.Application, config: Config, once: RunOnce) -> None:
    prefix = config.prefix
    recorder = Recorder(config) if config.record else None
    for path, handler in (("/chat/completions", chat.chat_completions), ("/completions", completions.completions)):
        answer = recorder.wrap(handler) if recorder else handler
        app.router.add_post(prefix + path, once.wrap(reported(OPERATIONS[path], answer)))
    app.router.add_get(f"{prefix}/models", models.list_models)
    app.router.add_get(prefix + "/models/{name:.+}", models.retrieve_model)
    if config.diagnostics == "on":
        diagnostics.add_routes(app)
    app.router.add_get("/healthz", health.live)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/metrics", scrape.metrics)


def _new_closer(upstream: Upstream, config: Config) -> Closing:
    gateway = upstream.dialect.gateway
    if gateway is None:
        return NothingToClose()
    return Closer(upstream, gateway, close_timeout=config.close_timeout)


def factory() -> web.Application:
    """The application as `OAICOMPAT_…` in the environment says, for gunicorn. Raises ConfigError."""
    config = read_environment()
    set_up_logging(config.log_level, config.log_format)
    return create_app(config)


def set_up_logging(level: str, kind: str) -> None:
    """To stderr. What no line of ours shows is not looked up for each: "Optimization" in Python's logging guide."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(kind))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.logThreads = logging.logMultiprocessing = False  # but processes: gunicorn's lines name them
    vars(logging)["_srcfile"] = None


def make_secret(config: Config) -> bytes:
    """The configured one; else the same for all workers in front of the same gateway."""
    material = config.session_secret or f"{config.upstream}\0{config.upstream_token}"
    return hashlib.sha256(b"oaicompat-proxy\0" + material.encode()).digest()


@contextlib.asynccontextmanager
async def _shared(config: Config) -> AsyncIterator[tuple[SessionLocks, SessionStore | None, Rates]]:
    """What workers share: in Redis if there is one, else in this process alone."""
    recognises = config.sessions == "recognise"
    ttl, size = config.session_ttl, config.max_sessions
    if not config.redis:
        yield MemoryLocks(), MemoryStore(ttl=ttl, size=size) if recognises else None, Rates(None)
        return
    async with connect(config.redis) as redis:
        yield RedisLocks(redis), RedisStore(redis, ttl=ttl, size=size) if recognises else None, Rates(redis)
