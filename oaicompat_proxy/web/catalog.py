"""Which models there are, and which app each one is.

The gateway's newer releases list their apps; the current one does not know the question, but names its apps when
it refuses an unknown one, before anything is run.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase

from ..dialects.dialect import App, Gateway
from ..errors import UpstreamError, UpstreamRefused
from ..events import RunFailed
from ..failures import unknown_model
from ..keyring import Caller
from ..per_model import is_pattern
from ..turn import Text, Turn
from .upstream import Upstream

DEFAULT_MODEL = "default"
"""Stands for the gateway's default app, and for requests that name no model."""


class Catalog:
    """The models on offer. What the gateway says is kept for a short life."""

    def __init__(self, upstream: Upstream, mapping: Mapping[str, str], *, ttl: float) -> None:
        """`mapping`: model name, or pattern of names (which is not on the list), → app.

        `ttl`: seconds for which the gateway's list is kept.
        """
        self._upstream = upstream
        self._gateway = upstream.dialect.gateway
        self._mapping = {name: app for name, app in mapping.items() if not is_pattern(name)}
        patterns = sorted(filter(is_pattern, mapping), key=len, reverse=True)  # the longest says most
        self._patterns = {pattern: mapping[pattern] for pattern in patterns}
        self._ttl = ttl
        self._lock = asyncio.Lock()
        self._apps: list[App] = []
        self._hosted: frozenset[str] = frozenset()
        """What they are called."""
        self._fresh_until = -1.0

    def resolve(self, model: str, caller: Caller) -> str:
        """The app that answers for `model`; "" is the gateway's default app. Raises ModelNotFound.

        Whether there is such an app is the gateway's to say: one may have been added since it was asked. A caller
        who may not use it is told the same as if there were none.
        """
        if not caller.may_use(model or DEFAULT_MODEL):
            raise unknown_model(model or DEFAULT_MODEL)
        if model in self._mapping:
            return self._mapping[model]
        for pattern, app in self._patterns.items():
            if fnmatchcase(model, pattern):
                return app
        if not model or (model == DEFAULT_MODEL and DEFAULT_MODEL not in self._hosted):
            return ""
        if self._gateway is None or not self._gateway.is_app_id(model):
            raise unknown_model(model)
        return model

    async def models(self, caller: Caller) -> list[str]:
        """Names that the caller may use, each once: configured ones first.

        Raises UpstreamError if there is nothing to offer to anybody.
        """
        try:
            apps = await self._ask()
        except UpstreamError:
            if not (self._mapping or self._patterns):
                raise
            apps = self._apps
        names = dict.fromkeys([*self._mapping, *(app.id for app in apps), DEFAULT_MODEL])
        return list(filter(caller.may_use, names))

    def knows(self, model: str) -> bool:
        """Whether there is such a model, as far as is known without asking."""
        return model == DEFAULT_MODEL or model in self._mapping or model in self._hosted

    async def _ask(self) -> list[App]:
        async with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._apps = await self._discover(self._gateway) if self._gateway is not None else []
                self._hosted = frozenset(app.id for app in self._apps)
                self._fresh_until = time.monotonic() + self._ttl
            return self._apps

    async def _discover(self, gateway: Gateway) -> list[App]:
        status, body = await self._upstream.call(gateway.build_apps())
        if status in (401, 403):
            raise UpstreamRefused(f"The agent gateway refused this proxy's token ({status}).")
        apps = gateway.parse_apps(body) if status == 200 else None
        return await self._provoke(gateway) if apps is None else apps

    async def _provoke(self, gateway: Gateway) -> list[App]:
        """Asks for an app that cannot exist: the refusal names those that do."""
        dialect, app = self._upstream.dialect, f"no-such-app-{secrets.token_hex(4)}"
        question = Turn((Text("Which apps are there?"),))
        key = dialect.session_key(app, "probe")
        run = self._upstream.run(dialect.build_run(question, app=app, key=key, run_id="probe"))
        try:
            await run.open()
            async for events in run:
                for event in events:
                    apps = gateway.parse_available(event.message) if isinstance(event, RunFailed) else None
                    if apps is not None:
                        await run.finish()
                        return apps
        finally:
            run.cut()
        raise UpstreamError("The agent gateway does not tell which apps it hosts; name them with --model.")

    async def check(self) -> None:
        """Raises ProxyError unless the gateway answers and takes our token."""
        if self._gateway is None:
            status = await self._upstream.probe()
        else:
            status, _ = await self._upstream.call(self._gateway.build_apps())
        if status in (401, 403):
            raise UpstreamRefused(f"The agent gateway refuses this proxy's token ({status}).")
        if status >= 500 and status != 501:
            raise UpstreamError(f"The agent gateway answers with status {status}.")
