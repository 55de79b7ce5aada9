"""The state of one request, and the objects that all gateways of the process share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from ..api.protocol import BodyBuilder, ClientApi, ParsedBody, StreamEncoder
from ..api.registry import DEFAULT_API
from ..config.settings import Config
from ..core.caller import Caller
from ..core.errors import ProxyError
from ..core.origins import OriginPolicy
from ..core.request import EntryChange
from ..core.signing import Secrets
from .access.authenticator import Authenticator
from .access.budgets import Budgets, Charge
from .access.rate_limiter import RateLimiter
from .access.users import Users
from .event_loop.processor_thread import ProcessorThread
from .observability.run_report import RunReport
from .shutdown import GracefulShutdown
from .single_sign_on.issuer_keys import Issuers
from .single_sign_on.single_sign_on import SingleSignOn
from .sinks import SinkFactory

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class KeptRecord(Protocol):
    """The interface of `idempotency.kept_answer.KeptAnswer`."""

    background: bool

    async def open(self, entries: Mapping[str, bytes], body: bytes, /) -> None: ...

    async def update(self, body: bytes, /) -> None: ...

    async def complete(self, entries: Mapping[str, bytes], /) -> None: ...


class HeldEntry(Protocol):
    """The interface of `endpoints.changed_entry.ChangedEntry`."""

    @property
    def release(self) -> Callable[[], Awaitable[None]]: ...

    async def change(self, api: ClientApi, change: EntryChange, answer: StreamEncoder | BodyBuilder, /) -> None: ...


@dataclass(slots=True, eq=False)
class RequestContext:
    """One request, from its headers to its log line."""

    request_id: str
    received: float
    """`time.monotonic()` at which the request's headers were read."""
    api: ClientApi = DEFAULT_API
    """The API of the request's path, which encodes its errors."""
    server: ServerRuntime = field(init=False, repr=False)
    """Set by the middleware around every request of the application."""
    client: str = ""
    """The address of the client, as far as the proxies in between are trusted."""
    caller: Caller = field(init=False, repr=False)
    """Set by authentication, so not on public routes."""
    rate_headers: Mapping[str, str] | None = None
    """Headers of the response about the caller's rate limit, if there is one."""
    body: bytes | BaseException | None = None
    """The request's body, or the error of reading it, if it was read before the handler."""
    parsed: ParsedBody | None = None
    """The parsed body, if it was parsed before the handler."""
    answer_id: str = ""
    """The id of the answer, if it was known before the request was parsed."""
    kept: KeptRecord | None = None
    """The record of an answer that other requests read by its id."""
    entry: HeldEntry | None = None
    """The stored entry that the answer changes."""
    charge: Charge = field(init=False, repr=False)
    """Only for a caller whose usage is counted."""
    report: RunReport = field(init=False, repr=False)
    """Only for a request that runs the agent."""
    sinks: SinkFactory | None = None
    """Makes the sinks that receive the answer instead of the client's connection, if several requests share it."""

    on_broken_off: Callable[[ProxyError], None] | None = None
    """Called before a JSON body is broken off, with the failure, which its status can no longer show."""
    on_stream_failed: Callable[[ProxyError], None] | None = None
    """Called before a stream is ended with this failure."""

    def take_body(self) -> bytes | None:
        """Returns `body` and sets it to None. Raises the error if the body could not be read."""
        body, self.body = self.body, None
        if isinstance(body, BaseException):
            try:
                raise body
            finally:
                del body  # else the error's traceback holds this frame, and the frame the error
        return body

    @property
    def is_run(self) -> bool:
        return hasattr(self, "report")


CONTEXT = web.RequestKey("oaicompat_proxy.context", RequestContext)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServerRuntime:
    """The objects that the gateways of one process share under one configuration; a reload replaces it as a whole."""

    config: Config
    authenticator: Authenticator
    origins: OriginPolicy
    """The allowed web pages, and the allowed host names of the server."""
    users: Users | None
    """Only with the setting `user_from`."""
    single_sign_on: SingleSignOn | None
    """Only with the setting `jwt_issuer`."""
    upstream_tokens: Sequence[str]
    """The tokens of all gateways; no response may contain one."""

    # survives a reload
    prefixes: Sequence[str]
    """The prefixes of all gateways."""
    apis: Sequence[ClientApi]
    endpoints: Mapping[str, ClientApi]
    """The client APIs by the paths of their endpoints."""
    public: frozenset[Handler]
    """Handlers that need no key."""
    probes: frozenset[Handler]
    """Handlers for which `Origin` and `Host` are not checked: their responses reveal nothing, or they check both."""
    issuers: Issuers
    secrets: Secrets
    """The random secrets of the process."""
    started_at: int
    """Unix time in seconds at which the process began to serve."""
    shutdown: GracefulShutdown
    rate_limiter: RateLimiter
    budgets: Budgets
    processor: ProcessorThread
    """Runs the checks of long answers."""


SERVER = web.AppKey("oaicompat_proxy.server", ServerRuntime)
"""Set in the application of `create_app`, and in its subapplications."""

EXPOSED = web.AppKey("oaicompat_proxy.exposed", bool)
"""Whether other machines can connect to a listening socket; unset if this program does not open the sockets."""


def server_of(request: web.Request) -> ServerRuntime:
    """Works in every middleware, also if the application is mounted in another one. Handlers read `server` of the
    request's context instead.
    """
    return request.match_info.apps[-1][SERVER]
