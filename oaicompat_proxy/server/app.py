"""The application: routes, and what lives as long as the process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from ..config.command_line import read_environment
from ..config.per_model import PerModel
from ..config.settings import Config
from ..core.origins import OriginPolicy
from .access.authenticator import CALLERS, Callers
from .access.rate_limiter import RATES, Rates
from .answering.event_stream import FIRST_EVENTS
from .context import CONFIG, GATEWAYS, ORIGINS, PER_MODEL, SECRETS, SIGNING_KEYS, STARTED
from .deadlines import Deadlines
from .endpoints import chat_completions as chat
from .endpoints import completions, diagnostics, health, models
from .endpoints import metrics as scrape
from .endpoints.readiness import READINESS, Readiness
from .gateway import LASTING, Lasting, Serving
from .http.authorization import FOR_SUPERVISORS, NEED_NO_KEY, admit
from .http.body import answer_expectation
from .http.error_middleware import errors_to_bodies
from .http.headers import add_headers
from .http.reporting import OPERATIONS, reported
from .http.shutdown import STOPPING, Stopping
from .observability.log_handler import LineHandler
from .observability.run_log import formatter
from .observability.run_report import TRAFFIC, Traffic
from .observers import observing
from .recording.recorder import Recorder
from .redis import connect
from .sessions.call_ids import CALL_IDS, CallIds
from .sessions.run_limiter import RUN_LIMITER
from .sessions.sessions import SESSIONS, Sessions
from .signing_secret import agreeing, make_keys, new_secrets, tell_once
from .upstream.catalog import CATALOG, Catalog
from .upstream.gateway_client import UPSTREAM, Upstream
from .upstream.session_closer import Closer, Closing, NothingToClose

if TYPE_CHECKING:
    from .bounded_redis import BoundedRedis


def create_app(config: Config, *, upstream: str = "", before: web.Application | None = None) -> web.Application:
    """`upstream`: the gateway's address where it is not the configured one, as with the demo agent.

    `before`: a running application whose place this one takes; what belongs to the process passes on to it.
    Raises ConfigError for keys that cannot be used.
    """
    app = web.Application(client_max_size=config.max_body, middlewares=[errors_to_bodies, admit])
    app[CONFIG] = config
    app[CALLERS] = Callers(config)
    app[ORIGINS] = OriginPolicy(config.cors, config.allowed_host)
    app[SECRETS] = new_secrets() if before is None else before[SECRETS]
    tell_once(config)
    app[GATEWAYS] = _add_gateways(app, config, {} if before is None else _lasting_of(before))
    app.router.add_get("/healthz", health.live)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/metrics", scrape.metrics)
    app[FOR_SUPERVISORS] = frozenset({health.live, health.ready})
    app[NEED_NO_KEY] = app[FOR_SUPERVISORS] | {scrape.metrics}
    app.on_response_prepare.append(add_headers)
    if before is None:
        app[STARTED] = int(time.time())
        app[STOPPING] = Stopping()
        app[TRAFFIC] = Traffic()
        app.cleanup_ctx.append(functools.partial(_process, upstream))
    else:
        _furnish(app, before, upstream)
    return app


def _add_gateways(app: web.Application, config: Config, lasting: Mapping[str, Lasting]) -> list[web.Application]:
    """A single gateway is served by the application itself, several by one below it for each."""
    gateways = config.gateways
    if len(gateways) == 1:
        app[SIGNING_KEYS] = make_keys(config, app[SECRETS])
        _add_gateway(app, config, config.prefix, lasting.get(config.prefix) or Lasting(config))
        return [app]
    below = []
    for each in gateways:
        below.append(web.Application())
        below[-1][CONFIG] = each
        below[-1][SIGNING_KEYS] = make_keys(each, app[SECRETS], apart=each.prefix)
        _add_gateway(below[-1], each, "", lasting.get(each.prefix) or Lasting(each))
        app.add_subapp(each.prefix, below[-1])
    return below


def _add_gateway(app: web.Application, config: Config, base: str, lasting: Lasting) -> None:
    """`base`: of its paths, in this application."""
    app[LASTING] = lasting
    app[RUN_LIMITER] = lasting.limiter
    app[PER_MODEL] = PerModel(config)
    app[FIRST_EVENTS] = Deadlines(config.first_event_wait)
    recorder = Recorder(config) if config.record else None
    for path, handler in (("/chat/completions", chat.chat_completions), ("/completions", completions.completions)):
        answer = recorder.wrap(handler) if recorder else handler
        answer = lasting.once.wrap(reported(OPERATIONS[path], answer))
        app.router.add_post(base + path, answer, expect_handler=answer_expectation)
    app.router.add_get(f"{base}/models", models.list_models)
    app.router.add_get(base + "/models/{name:.+}", models.retrieve_model)
    if config.diagnostics == "on":
        diagnostics.add_routes(app, base)


async def _process(upstream: str, app: web.Application) -> AsyncIterator[None]:
    """Opens what lives as long as the process, and settles it, whatever application has taken this one's place."""
    app[STOPPING].loop = asyncio.get_running_loop()
    async with _shared(app[CONFIG]) as redis:
        app[RATES] = Rates(redis)
        lasting = _lasting_of(app)
        for prefix, each in lasting.items():
            each.open(redis, prefix if len(lasting) > 1 else "")
        async with agreeing(redis, app[SECRETS]), observing(app, list(lasting.values())):
            _furnish(app, app, upstream)
            yield
            await asyncio.gather(*(each.settle() for each in lasting.values()))


def _furnish(app: web.Application, process: web.Application, upstream: str) -> None:
    """Gives each gateway what it needs. `process`: has what is one for all."""
    for gateway in (app, *app[GATEWAYS]):
        for key, value in process.items():
            gateway.setdefault(key, value)
    for gateway in app[GATEWAYS]:
        config, lasting = gateway[CONFIG], gateway[LASTING]
        gateway[UPSTREAM] = Upstream(config, upstream or config.upstream)
        gateway[CATALOG] = Catalog(
            gateway[UPSTREAM], config.model, ttl=config.models_ttl, for_callers=config.only_callers_credentials
        )
        gateway[CALL_IDS] = CallIds(gateway[SIGNING_KEYS], lasting.ids)
        closer = _new_closer(gateway[UPSTREAM], config, lasting)
        gateway[READINESS] = Readiness(gateway[CATALOG].check)
        gateway[SESSIONS] = Sessions(
            gateway[UPSTREAM],
            config,
            gateway[SIGNING_KEYS],
            limiter=lasting.limiter,
            closer=closer,
            locks=lasting.locks,
            store=lasting.store,
            names=lasting.names,
        )
        lasting.use(Serving(gateway[UPSTREAM], gateway[CATALOG], gateway[SESSIONS], closer))


def _lasting_of(app: web.Application) -> dict[str, Lasting]:
    """By the prefixes of the gateways."""
    return {gateway[CONFIG].prefix: gateway[LASTING] for gateway in app[GATEWAYS]}


def _new_closer(upstream: Upstream, config: Config, lasting: Lasting) -> Closing:
    gateway = upstream.dialect.gateway
    if gateway is None:
        return NothingToClose()
    return Closer(upstream, gateway, close_timeout=config.close_timeout, speakers=lasting.speakers)


def factory() -> web.Application:
    """The application as `OAICOMPAT_…` in the environment and the file say, for gunicorn. Raises ConfigError."""
    config = read_environment()
    set_up_logging(config.log_level, config.log_format)
    return create_app(config)


def set_up_logging(level: str, kind: str) -> None:
    """To stderr. What no line of ours shows is not looked up for each: "Optimization" in Python's logging guide."""
    handler = LineHandler()
    handler.setFormatter(formatter(kind))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.logThreads = logging.logMultiprocessing = False  # but processes: gunicorn's lines name them
    vars(logging)["_srcfile"] = None


@contextlib.asynccontextmanager
async def _shared(config: Config) -> AsyncIterator[BoundedRedis | None]:
    """Where workers share what they have to; None for this process alone."""
    if not config.redis:
        yield None
        return
    async with connect(config.redis) as redis:
        yield redis
