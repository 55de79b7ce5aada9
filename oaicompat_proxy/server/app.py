"""The aiohttp application: routes, middleware, and the objects behind them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from aiohttp import web

from ..api.protocol import ClientApi
from ..api.registry import APIS
from ..config.command_line import load_from_environment, unknown_variables
from ..config.settings import Config, ConfigError
from ..core.origins import OriginPolicy
from ..core.signing import Secrets, SigningKeys
from .access.authenticator import Authenticator
from .access.budgets import Budgets
from .access.rate_limiter import RateLimiter
from .access.signing_secret import derive_keys, random_secrets, secret_in_redis, warn_if_ephemeral
from .access.users import Users
from .context import SERVER, ServerRuntime
from .endpoints import diagnostics, health, kept_data, models, usage
from .endpoints import metrics as scrape
from .endpoints.agent_run import new_handler
from .endpoints.api_routes import new_route_handler
from .endpoints.structured_output import check_packages
from .endpoints.user_in_request import with_user_in_body, with_user_in_query
from .event_loop.processor_thread import ProcessorThread
from .gateway import GATEWAYS, Gateway
from .http.body import answer_expectation
from .http.error_middleware import error_middleware
from .http.headers import add_headers
from .http.reporting import reported
from .inspection.collector import COLLECTOR, Collector
from .inspection.inspector import INSPECTOR, ServerInspector
from .inspection.routes import HANDLERS, add_routes
from .kept_data import in_each_place
from .observability.process_setup import set_up_process
from .observability.telemetry import TELEMETRY
from .observers import observing
from .recording.kept_recordings import RecordingData
from .recording.recorder import Recorder
from .runtime import RUNTIME, GatewayRuntime
from .shared_storage.redis_client import connect
from .shutdown import GracefulShutdown
from .single_sign_on.issuer_keys import Issuers
from .single_sign_on.single_sign_on import SingleSignOn

if TYPE_CHECKING:
    from .shared_storage.bounded_redis import BoundedRedis

log = logging.getLogger(__name__)

PROBES = frozenset({health.live, health.ready})
PUBLIC = PROBES | {scrape.metrics} | HANDLERS


def create_app(
    config: Config,
    *,
    upstream: str = "",
    previous: web.Application | None = None,
    apis: Sequence[ClientApi] = tuple(APIS.values()),
) -> web.Application:
    """Builds the application; it can be mounted in another one.

    `upstream`: the gateway's address where it is not the configured one, as with the demo agent.
    `previous`: a running application that this one replaces on reload. It is not changed before this one starts up.
    `apis`: the client APIs that are served; a reload keeps them.
    Raises ConfigError for settings that cannot be used.
    """
    app = web.Application(client_max_size=config.max_body, middlewares=[error_middleware])
    app.router.add_get("/healthz", health.live)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/metrics", scrape.metrics)
    app.on_response_prepare.append(add_headers)
    warn_if_ephemeral(config)
    check_packages(config)
    if previous is None:
        _build(app, config, upstream, apis)
    else:
        _rebuild(app, config, previous)
    return app


def _build(app: web.Application, config: Config, address: str, apis: Sequence[ClientApi]) -> None:
    redis = connect(config.redis) if config.redis else None
    server = _new_server(config, apis, redis)
    if config.inspect:
        app[COLLECTOR] = Collector(config)
        add_routes(app, ServerInspector(config, server.secrets, app[COLLECTOR]))
    gateways = app[GATEWAYS] = [
        Gateway(each, keys, redis, namespace=salt, address=address)
        for each, keys, salt in _with_keys(config, server.secrets)
    ]
    applications = wire(app, server, apis, gateways, [each.runtime for each in gateways])
    app.cleanup_ctx.append(functools.partial(lifespan, redis, applications))


def _rebuild(app: web.Application, config: Config, previous: web.Application) -> None:
    server = _reloaded(previous[SERVER], config)
    if COLLECTOR in previous:
        app[COLLECTOR] = previous[COLLECTOR]
        add_routes(app, previous[INSPECTOR])
    gateways = app[GATEWAYS] = previous[GATEWAYS]
    settings = _with_keys(config, server.secrets)
    runtimes = [gateway.new_runtime(each, keys) for gateway, (each, keys, _) in zip(gateways, settings, strict=True)]
    for each in wire(app, server, server.apis, gateways, runtimes):
        each[TELEMETRY] = previous[TELEMETRY]
    app.on_startup.append(functools.partial(_activate, gateways, runtimes))


def _new_server(config: Config, apis: Sequence[ClientApi], redis: BoundedRedis | None) -> ServerRuntime:
    """Raises ConfigError for keys that cannot be used."""
    prefixes = [each.prefix for each in config.gateways]
    secrets, issuers = random_secrets(), Issuers()
    return ServerRuntime(
        config=config,
        **_identification(config, secrets, issuers),
        origins=OriginPolicy(config.cors, config.allowed_host),
        upstream_tokens=_tokens(config),
        prefixes=prefixes,
        apis=apis,
        endpoints={prefix + api.path: api for prefix in prefixes for api in apis},
        public=PUBLIC,
        probes=PROBES | HANDLERS,
        secrets=secrets,
        issuers=issuers,
        started_at=int(time.time()),
        shutdown=GracefulShutdown(),
        rate_limiter=RateLimiter(redis),
        budgets=Budgets(redis),
        processor=ProcessorThread(),
    )


def _reloaded(server: ServerRuntime, config: Config) -> ServerRuntime:
    """Raises ConfigError for keys that cannot be used."""
    return dataclasses.replace(
        server,
        config=config,
        **_identification(config, server.secrets, server.issuers),
        origins=OriginPolicy(config.cors, config.allowed_host),
        upstream_tokens=_tokens(config),
    )


class _Identification(TypedDict):
    authenticator: Authenticator
    users: Users | None
    single_sign_on: SingleSignOn | None


def _identification(config: Config, secrets: Secrets, issuers: Issuers) -> _Identification:
    """The objects that identify callers and users. Raises ConfigError."""
    authenticator = Authenticator(config)
    users = Users(config, derive_keys(config, secrets, salt="users")) if config.user_from else None
    single_sign_on = _single_sign_on(config, authenticator, users, issuers) if config.jwt_issuer else None
    return {"authenticator": authenticator, "users": users, "single_sign_on": single_sign_on}


def _single_sign_on(
    config: Config, authenticator: Authenticator, users: Users | None, issuers: Issuers
) -> SingleSignOn:
    """Raises ConfigError if the packages of the extra `sso` are missing."""
    if not all(map(find_spec, ("jwt", "cryptography"))):
        raise ConfigError("--jwt-issuer needs the package PyJWT: pip install 'oaicompat-proxy[sso]'")
    return SingleSignOn(config, authenticator, users, issuers)


def _tokens(config: Config) -> list[str]:
    return [each.upstream_token for each in config.gateways if each.upstream_token]


def _with_keys(config: Config, secrets: Secrets) -> Iterator[tuple[Config, SigningKeys, str]]:
    """The settings, the keys and the salt of each gateway; the salt separates several gateways."""
    for each in config.gateways:
        salt = each.prefix if len(config.gateways) > 1 else ""
        yield each, derive_keys(each, secrets, salt=salt), salt


def wire(
    app: web.Application,
    server: ServerRuntime,
    apis: Sequence[ClientApi],
    gateways: Sequence[Gateway],
    runtimes: Sequence[GatewayRuntime],
) -> list[web.Application]:
    """The application serves a single gateway itself; several gateways have applications below it. Returns all."""
    app[SERVER] = server
    collector = app.get(COLLECTOR)
    kept = in_each_place(each for gateway in gateways for each in gateway.kept_data)
    if server.config.record:
        kept.append(RecordingData(Path(server.config.record)))
    if len(gateways) == 1:
        prefix = runtimes[0].config.prefix
        _add_gateway(app, prefix, apis, gateways[0], runtimes[0], collector)
        kept_data.add_routes(app, prefix, kept)
        return [app]
    applications = [app]
    for gateway, runtime in zip(gateways, runtimes, strict=True):
        below = web.Application()
        below[SERVER] = server
        _add_gateway(below, "", apis, gateway, runtime, collector)
        kept_data.add_routes(below, "", kept)
        app.add_subapp(runtime.config.prefix, below)
        applications.append(below)
    return applications


def _add_gateway(
    app: web.Application,
    base: str,
    apis: Sequence[ClientApi],
    gateway: Gateway,
    runtime: GatewayRuntime,
    collector: Collector | None,
) -> None:
    """`base`: the prefix of paths in this application."""
    config = runtime.config
    app[RUNTIME] = runtime
    recorder = Recorder(config) if config.record else None
    for api in apis:
        answer = new_handler(api, runtime)
        answer = collector.wrap(answer) if collector else answer
        answer = recorder.wrap(answer) if recorder else answer
        answer = gateway.once.wrap(gateway.claims.wrap(reported(api, answer)), api)
        answer = with_user_in_body(answer, api, config)
        app.router.add_post(base + api.path, answer, expect_handler=answer_expectation)
        for route in api.routes:
            handler = with_user_in_query(new_route_handler(route, api, gateway.kept), config)
            app.router.add_route(route.method, base + route.path, handler, expect_handler=answer_expectation)
    app.router.add_get(base + usage.PATH, usage.show_usage)
    app.router.add_get(f"{base}/models", models.list_models)
    app.router.add_get(base + "/models/{name:.+}", models.retrieve_model)
    if config.diagnostics == "on":
        diagnostics.add_routes(app, base)


async def lifespan(
    redis: BoundedRedis | None, applications: Iterable[web.Application], app: web.Application
) -> AsyncIterator[None]:
    """Starts and stops the objects that live as long as the process, also if reloads replace the application."""
    server, gateways = app[SERVER], app[GATEWAYS]
    server.shutdown.loop = asyncio.get_running_loop()
    async with (
        redis or contextlib.nullcontext(),
        secret_in_redis(redis, server.secrets),
        observing(server.config, gateways, server.budgets) as telemetry,
    ):
        if COLLECTOR in app:
            telemetry.observers.append(app[COLLECTOR].observe)
        for each in applications:
            each[TELEMETRY] = telemetry
        for gateway in gateways:
            gateway.start()
        yield
        await asyncio.gather(*(gateway.shutdown() for gateway in gateways))
        await server.budgets.close()
        await server.issuers.close()


async def _activate(gateways: Sequence[Gateway], runtimes: Sequence[GatewayRuntime], app: web.Application) -> None:
    for gateway, runtime in zip(gateways, runtimes, strict=True):
        gateway.activate(runtime)


def factory() -> web.Application:
    """The application for gunicorn, configured by `OAICOMPAT_…` variables and the settings file. Raises ConfigError."""
    config = load_from_environment()
    set_up_process(config.log_level, config.log_format)
    for problem in unknown_variables(os.environ):
        log.warning("%s", problem)
    return create_app(config)
