"""The aiohttp application: routes, middleware, and the objects behind them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from ..api.protocol import ClientApi
from ..api.registry import APIS
from ..config.command_line import read_environment
from ..config.settings import Config
from ..core.origins import OriginPolicy
from ..core.signing import Secrets, SigningKeys
from .access.authenticator import CALLERS, Callers
from .access.rate_limiter import RATES, Rates
from .answering.event_stream import FIRST_EVENTS
from .context import CONFIG, ORIGINS, PER_MODEL, PREFIXES, SECRETS, SIGNING_KEYS, STARTED
from .endpoints import diagnostics, health, models
from .endpoints import metrics as scrape
from .endpoints.agent_run import new_handler
from .gateway import GATEWAYS, Gateway
from .http.authorization import FOR_SUPERVISORS, NEED_NO_KEY, admit
from .http.body import answer_expectation
from .http.client_api import CLIENT_APIS
from .http.error_middleware import errors_to_bodies
from .http.headers import add_headers
from .http.reporting import reported
from .http.shutdown import STOPPING, Stopping
from .observability.process_setup import set_up_process
from .observability.run_report import TRAFFIC, Traffic
from .observers import observing
from .recording.recorder import Recorder
from .redis import connect
from .runtime import GatewayRuntime
from .sessions.call_ids import CALL_IDS
from .sessions.run_limiter import RUN_LIMITER
from .sessions.sessions import SESSIONS
from .signing_secret import agreeing, make_keys, new_secrets, tell_once
from .upstream.catalog import CATALOG
from .upstream.gateway_client import UPSTREAM

if TYPE_CHECKING:
    from .bounded_redis import BoundedRedis


def create_app(
    config: Config,
    *,
    upstream: str = "",
    previous: web.Application | None = None,
    apis: Sequence[ClientApi] = tuple(APIS.values()),
) -> web.Application:
    """Builds the application; it can be mounted in another one.

    `upstream`: the gateway's address where it is not the configured one, as with the demo agent.
    `apis`: the client APIs that it serves; those of `previous` if there is one.
    `previous`: a running application that this one replaces on reload. It is not changed before this one starts up.
    Raises ConfigError for settings that cannot be used.
    """
    app = web.Application(client_max_size=config.max_body, middlewares=[errors_to_bodies, admit])
    app[CONFIG] = config
    app[CALLERS] = Callers(config)
    app[ORIGINS] = OriginPolicy(config.cors, config.allowed_host)
    app[CLIENT_APIS] = {api.path: api for api in apis} if previous is None else previous[CLIENT_APIS]
    app[PREFIXES] = [each.prefix for each in config.gateways]
    app[FOR_SUPERVISORS] = frozenset({health.live, health.ready})
    app[NEED_NO_KEY] = app[FOR_SUPERVISORS] | {scrape.metrics}
    app.router.add_get("/healthz", health.live)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/metrics", scrape.metrics)
    app.on_response_prepare.append(add_headers)
    tell_once(config)
    if previous is None:
        _start_anew(app, config, upstream)
    else:
        _replace(app, config, previous)
    return app


def _start_anew(app: web.Application, config: Config, upstream: str) -> None:
    redis = connect(config.redis) if config.redis else None
    app[SECRETS] = new_secrets()
    app[STARTED] = int(time.time())
    app[STOPPING] = Stopping()
    app[TRAFFIC] = Traffic()
    app[RATES] = Rates(redis)
    app[GATEWAYS] = [
        Gateway(each, keys, redis, namespace=salt, address=upstream)
        for each, keys, salt in _with_keys(config, app[SECRETS])
    ]
    applications = _add_gateways(app, [(gateway, gateway.runtime) for gateway in app[GATEWAYS]])
    app.cleanup_ctx.append(functools.partial(lifespan, redis, applications))


def _replace(app: web.Application, config: Config, previous: web.Application) -> None:
    app[SECRETS], app[GATEWAYS] = previous[SECRETS], previous[GATEWAYS]
    gateways = app[GATEWAYS]
    settings = _with_keys(config, app[SECRETS])
    runtimes = [gateway.new_runtime(each, keys) for gateway, (each, keys, _) in zip(gateways, settings, strict=True)]
    wire([app], previous)
    wire(_add_gateways(app, list(zip(gateways, runtimes, strict=True))), app)
    app.on_startup.append(functools.partial(_activate, runtimes))


def _with_keys(config: Config, secrets: Secrets) -> Iterator[tuple[Config, SigningKeys, str]]:
    """The settings and keys of each gateway, and what tells several gateways apart."""
    for each in config.gateways:
        salt = each.prefix if len(config.gateways) > 1 else ""
        yield each, make_keys(each, secrets, salt=salt), salt


def _add_gateways(app: web.Application, gateways: Sequence[tuple[Gateway, GatewayRuntime]]) -> list[web.Application]:
    """The application serves a single gateway itself; each of several has a sub-application."""
    if len(gateways) == 1:
        _add_gateway(app, gateways[0][1].config.prefix, *gateways[0])
        return [app]
    below = []
    for gateway, runtime in gateways:
        below.append(web.Application())
        below[-1][CONFIG], below[-1][CLIENT_APIS] = runtime.config, app[CLIENT_APIS]
        _add_gateway(below[-1], "", gateway, runtime)
        app.add_subapp(runtime.config.prefix, below[-1])
    return below


def _add_gateway(app: web.Application, base: str, gateway: Gateway, runtime: GatewayRuntime) -> None:
    """`base`: of the paths in this application."""
    config = runtime.config
    app[PER_MODEL], app[FIRST_EVENTS], app[RUN_LIMITER] = runtime.per_model, runtime.first_events, runtime.limiter
    app[UPSTREAM], app[CATALOG], app[SESSIONS] = runtime.upstream, runtime.catalog, runtime.sessions
    app[SIGNING_KEYS], app[CALL_IDS] = runtime.signing_keys, runtime.call_ids
    recorder = Recorder(config) if config.record else None
    for api in app[CLIENT_APIS].values():
        answer = recorder.wrap(new_handler(api)) if recorder else new_handler(api)
        answer = gateway.once.wrap(reported(api.operation, answer))
        app.router.add_post(base + api.path, answer, expect_handler=answer_expectation)
    app.router.add_get(f"{base}/models", models.list_models)
    app.router.add_get(base + "/models/{name:.+}", models.retrieve_model)
    if config.diagnostics == "on":
        diagnostics.add_routes(app, base)


async def lifespan(
    redis: BoundedRedis | None, applications: Iterable[web.Application], app: web.Application
) -> AsyncIterator[None]:
    """Starts and stops what lives as long as the process, also after reloads have replaced the application."""
    app[STOPPING].loop = asyncio.get_running_loop()
    gateways = app[GATEWAYS]
    async with redis or contextlib.nullcontext(), agreeing(redis, app[SECRETS]), observing(app, gateways):
        wire(applications, app)
        for gateway in gateways:
            gateway.start()
        yield
        await asyncio.gather(*(gateway.shutdown() for gateway in gateways))


async def _activate(runtimes: Iterable[GatewayRuntime], app: web.Application) -> None:
    gateways = app[GATEWAYS]
    for gateway, runtime in zip(gateways, runtimes, strict=True):
        gateway.activate(runtime)


def wire(applications: Iterable[web.Application], process: web.Application) -> None:
    """Gives applications the objects of the process that they do not have themselves."""
    for app in applications:
        for key, value in process.items():
            app.setdefault(key, value)


def factory() -> web.Application:
    """The application for gunicorn, configured by `OAICOMPAT_…` variables and the settings file. Raises ConfigError."""
    config = read_environment()
    set_up_process(config.log_level, config.log_format)
    return create_app(config)
