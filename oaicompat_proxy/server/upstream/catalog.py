"""The models that clients may choose, and the app of each model.

Newer releases of the gateway list their apps. The current one has no such call, but names its apps in the error for an
unknown app, before anything is run.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import reduce
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from ...config.per_model import NamesAndPatterns, is_pattern
from ...config.settings import Config
from ...core.caller import Caller
from ...core.errors import ModelNotFound, ProxyError, UpstreamError, UpstreamRefused
from ...core.events import RunFailed
from ...core.message import Text
from ...core.model_info import ModelInfo
from ...core.turn import Turn
from ...dialects.protocol import App, GatewayMethods
from ...translation.failures import model_not_found
from .gateway_client import Upstream
from .response_check import check_credentials
from .run import Run

DEFAULT_MODEL = "default"
"""The name of the gateway's default app, and the model of requests that name none."""


LIST_WAIT = 5.0
"""Seconds for which a request waits for the gateway's list, if the app of its model depends on it."""

TOO_MANY_REQUESTS = 429

MAX_APPS = 5000
"""Apps of a gateway's list; further ones are not listed. Each takes 200 bytes of a client's list of models."""

MAX_LISTS = 1000
"""Cached lists, if each caller has a list of its own."""


class _AppList(NamedTuple):
    """The gateway's apps, cached."""

    apps: Mapping[str, App]
    """The apps by their ids, in the gateway's order."""
    fresh_until: float
    """`time.monotonic()` at which the list expires."""


NO_APP = App("")
NO_INFOS: Mapping[str, ModelInfo] = MappingProxyType({})

_NO_LIST = _AppList({}, -1.0)


class Catalog:
    """The models of one gateway. The gateway's list of apps is cached for `ttl` seconds."""

    def __init__(
        self,
        upstream: Upstream,
        mapping: Mapping[str, str],
        *,
        ttl: float,
        for_callers: bool = False,
        infos: Mapping[str, ModelInfo] = NO_INFOS,
    ) -> None:
        """`mapping`: name of a model, or pattern of names, → app. Patterns are not listed as models. `infos`: by the
        same names and patterns, the information about a model that clients get.

        `ttl`: seconds for which the gateway's list is cached. `for_callers`: the gateway accepts only the credentials
        of callers, so each caller has a list of its own.
        """
        self._upstream = upstream
        self._gateway = upstream.dialect.gateway
        self._mapping = {name: app for name, app in mapping.items() if not is_pattern(name)}
        patterns = sorted(filter(is_pattern, mapping), key=len, reverse=True)  # the longest is the most specific
        self._patterns = {pattern: mapping[pattern] for pattern in patterns}
        self._infos = infos
        self._infos_for = NamesAndPatterns(infos).matching
        self._ttl = ttl
        self._for_callers = for_callers
        self._lock = asyncio.Lock()
        # state
        self._is_known = False
        """A check has found a gateway at the address."""
        self._lists: dict[str, _AppList] = {}
        """Cached lists by the scope of the caller ("" if all callers have the same list), the oldest first."""

    @classmethod
    def for_gateway(cls, upstream: Upstream, config: Config) -> Catalog:
        """The catalog that the gateway's settings describe."""
        return cls(
            upstream,
            config.model,
            ttl=config.models_ttl,
            for_callers=config.only_client_credentials,
            infos=config.model_info,
        )

    @property
    def has_patterns(self) -> bool:
        return bool(self._patterns)

    async def refresh_for(self, model: str, caller: Caller) -> None:
        """Refreshes the list if a pattern matches the model, because an app of exactly that name has priority."""
        if model not in self._mapping and self._pattern_of(model) is not None:
            with contextlib.suppress(ProxyError, TimeoutError):
                async with asyncio.timeout(LIST_WAIT):
                    await self._list(caller)

    def resolve(self, model: str, caller: Caller) -> str:
        """The app of `model`; "" is the gateway's default app. Raises ModelNotFound.

        An unlisted name is passed on: the app may be newer than the list. A caller
        that may not use a model gets the same error as for one that does not exist.
        """
        if not caller.may_use(model or DEFAULT_MODEL):
            raise model_not_found(model or DEFAULT_MODEL)
        if model in self._mapping:
            return self._mapping[model]
        if model in self._listed(caller).apps:
            return model
        if (pattern := self._pattern_of(model)) is not None:
            return self._patterns[pattern]
        if model in ("", DEFAULT_MODEL):
            return ""
        if self._gateway is None or not self._gateway.is_app_id(model):
            raise model_not_found(model)
        return model

    async def check_exists(self, model: str, caller: Caller) -> None:
        """Raises ModelNotFound for a model that is not configured and not in the gateway's list, if that can be read.

        Only for requests without a run: the gateway itself knows whether it can run an app.
        """
        if self.resolve(model, caller) != model or model in self._mapping:
            return
        try:
            async with asyncio.timeout(LIST_WAIT):
                apps = await self._list(caller)
        except (ProxyError, TimeoutError):
            return
        if model not in apps:
            raise model_not_found(model)

    def _pattern_of(self, model: str) -> str | None:
        return next((pattern for pattern in self._patterns if fnmatchcase(model, pattern)), None)

    async def models(self, caller: Caller) -> list[str]:
        """The models that the caller may use, each once, configured ones first.

        Raises InvalidKey, Forbidden and UpstreamError if the list cannot be read and no model is configured.
        """
        try:
            apps = await self._list(caller)
        except UpstreamError:
            if not (self._mapping or self._patterns):
                raise
            apps = self._listed(caller).apps
        names = dict.fromkeys([*self._mapping, *apps, DEFAULT_MODEL])
        return list(filter(caller.may_use, names))

    def info_of(self, model: str, caller: Caller) -> ModelInfo:
        """The information about the model from the caller's cached list, overridden by the settings."""
        apps = self._listed(caller).apps
        app = self._mapping.get(model, "" if model == DEFAULT_MODEL else model)
        default = next((each for each in apps.values() if each.is_default), NO_APP) if not app else NO_APP
        info = apps.get(app, default).info
        if app != model:
            info = replace(info, name="")  # two entries of one name would be indistinguishable in a list
        return reduce(ModelInfo.overridden_by, (self._infos[name] for name in self._infos_for(model)), info)

    def knows(self, model: str) -> bool:
        """Whether the model is configured or in a cached list."""
        return (
            model == DEFAULT_MODEL
            or model in self._mapping
            or any(model in listed.apps for listed in self._lists.values())
        )

    def is_model(self, model: str, *, answered: bool) -> bool:
        """Whether the model is known, or has `answered` and matches no pattern, which allows invented names."""
        return self.knows(model) or (answered and not any(fnmatchcase(model, each) for each in self._patterns))

    def _listed(self, caller: Caller) -> _AppList:
        return self._lists.get(self._key_of(caller), _NO_LIST)

    def _key_of(self, caller: Caller) -> str:
        return caller.scope if self._for_callers else ""

    async def _list(self, caller: Caller) -> Iterable[str]:
        """The ids of the apps; the gateway is asked if the cached list has expired."""
        key = self._key_of(caller)
        async with self._lock:
            if time.monotonic() >= self._listed(caller).fresh_until:
                upstream = self._upstream.with_credentials_of(caller) if self._for_callers else self._upstream
                apps = await self._discover(upstream, self._gateway) if self._gateway is not None else []
                self._lists.pop(key, None)
                self._lists[key] = _AppList({app.id: app for app in apps}, time.monotonic() + self._ttl)
                if len(self._lists) > MAX_LISTS:
                    del self._lists[next(iter(self._lists))]
            return self._listed(caller).apps

    async def _discover(self, upstream: Upstream, gateway: GatewayMethods) -> list[App]:
        """The apps that can be addressed. Raises InvalidKey, Forbidden, UpstreamError or a subclass."""
        status, body = await upstream.call(gateway.build_apps())
        if upstream.uses_client_credentials:
            check_credentials(status)
        if status in (401, 403):
            whose = "a request without a caller's credentials" if self._for_callers else "this proxy's token"
            raise UpstreamRefused(f"The agent gateway refused {whose} ({status}).")
        apps = gateway.parse_apps(body) if status == 200 else None
        if apps is None:
            apps = await self._list_by_unknown_app(upstream, gateway)
        return list(islice((app for app in apps if gateway.is_app_id(app.id)), MAX_APPS))

    async def _list_by_unknown_app(self, upstream: Upstream, gateway: GatewayMethods) -> list[App]:
        """Calls an app that cannot exist: the error names those that do."""
        run = _run_of_unknown_app(upstream)
        try:
            await run.open()
            async for events in run:
                for event in events:
                    apps = gateway.parse_available(event.message) if isinstance(event, RunFailed) else None
                    if apps is not None:
                        await run.finish()
                        return apps
        finally:
            run.abort()
        raise UpstreamError("The agent gateway does not list its apps; name them with --model.")

    async def check(self) -> str:
        """Checks that the gateway answers and accepts the proxy's token. Returns a note; raises ProxyError.

        A gateway that accepts only the credentials of callers is healthy if it answers. Once found to be a gateway, it
        is healthy if anything answers.
        """
        if self._gateway is None:
            status, body = await self._upstream.probe(), b""
        else:
            status, body = await self._upstream.call(self._gateway.build_apps())
        if status in (401, 403) and self._for_callers:
            return f"The agent gateway answers; it refuses a request without a caller's credentials ({status})."
        if status in (401, 403):
            raise UpstreamRefused(f"The agent gateway refuses this proxy's token ({status}).")
        if status >= 500 and status != 501:
            raise UpstreamError(f"The agent gateway answers with status {status}.")
        if self._gateway is not None and status != TOO_MANY_REQUESTS and not self._for_callers and not self._is_known:
            if not self._gateway.answers_apps(body) and not await self._rejects_empty_send(self._gateway):
                await self._check_run()
            self._is_known = True
        return ""

    async def _rejects_empty_send(self, gateway: GatewayMethods) -> bool:
        """Whether a gateway takes runs at the address: a server that allows nothing else may stand before one. It
        rejects an empty request before it looks for an app, so nothing can run."""
        status, body = await self._upstream.call(gateway.build_empty_send())
        return bool(gateway.parse_send_form(status, body))

    async def _check_run(self) -> None:
        """Raises ProxyError if no gateway takes runs at the address. For one that words its rejection of an empty
        request in another way; nothing runs if it rejects unknown apps."""
        run = _run_of_unknown_app(self._upstream)
        try:
            with contextlib.suppress(ModelNotFound):
                await run.open()
        finally:
            run.abort()


def _run_of_unknown_app(upstream: Upstream) -> Run:
    """A run of an app that cannot exist."""
    dialect, app = upstream.dialect, f"no-such-app-{secrets.token_hex(4)}"
    question = Turn((Text("Which apps are there?"),))
    key = dialect.session_key(app, "probe")
    return upstream.run(dialect.build_run(question, app=app, key=key, run_id="probe"))
