"""What the application and a request carry, by typed keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry

from ..config.per_model import PerModel
from ..config.settings import Config
from ..core.origins import OriginPolicy
from ..core.signing import Secrets, SigningKeys
from .access.authenticator import Callers
from .access.keyring import Caller
from .access.rate_limiter import Rates
from .deadlines import Deadlines
from .endpoints.readiness import Readiness
from .http.shutdown import Stopping
from .idempotency.shared_answer import Recording
from .observability.gauges import Census
from .observability.run_report import Observer, RunReport, Traffic
from .scheduling import Batch
from .sessions.call_ids import CallIds
from .sessions.run_slots import Slots
from .sessions.sessions import Sessions
from .upstream.catalog import Catalog
from .upstream.gateway_client import Upstream

if TYPE_CHECKING:
    from .observability.tracing import Tracer

CONFIG = web.AppKey("oaicompat_proxy.config", Config)
UPSTREAM = web.AppKey("oaicompat_proxy.upstream", Upstream)
PER_MODEL = web.AppKey("oaicompat_proxy.per_model", PerModel)
CATALOG = web.AppKey("oaicompat_proxy.catalog", Catalog)
SESSIONS = web.AppKey("oaicompat_proxy.sessions", Sessions)
CALL_IDS = web.AppKey("oaicompat_proxy.call_ids", CallIds)
CALLERS = web.AppKey("oaicompat_proxy.callers", Callers)
ORIGINS = web.AppKey("oaicompat_proxy.origins", OriginPolicy)
"""Which pages may call, and under which names the server is called."""
EXPOSED = web.AppKey("oaicompat_proxy.exposed", bool)
"""Whether other machines can connect to a socket that is listened on; not there before listening begins."""
READINESS = web.AppKey("oaicompat_proxy.readiness", Readiness)
RATES = web.AppKey("oaicompat_proxy.rates", Rates)
SLOTS = web.AppKey("oaicompat_proxy.slots", Slots)
STOPPING = web.AppKey("oaicompat_proxy.stopping", Stopping)
FIRST_EVENTS = web.AppKey("oaicompat_proxy.first_events", Deadlines)
"""For how long an answer may wait for its first event."""
SECRETS = web.AppKey("oaicompat_proxy.secrets", Secrets)
"""Those of chance, of the whole process."""
SIGNING_KEYS = web.AppKey("oaicompat_proxy.signing_keys", SigningKeys)
"""Of everything that is signed or hashed for a gateway: session names, conversations, ids of tool calls."""
TRAFFIC = web.AppKey("oaicompat_proxy.traffic", Traffic)
OBSERVERS: web.AppKey[list[Observer]] = web.AppKey("oaicompat_proxy.observers")
"""Are given the report of each run that is over."""
REPORTS: web.AppKey[Batch[RunReport]] = web.AppKey("oaicompat_proxy.reports")
"""Of runs that are over since a moment ago: on their way to those."""
TRACER: web.AppKey[Tracer] = web.AppKey("oaicompat_proxy.tracer")
"""Only there if runs are traced."""
REGISTRY = web.AppKey("oaicompat_proxy.registry", CollectorRegistry)
CENSUS = web.AppKey("oaicompat_proxy.census", Census)
GATEWAYS: web.AppKey[list[web.Application]] = web.AppKey("oaicompat_proxy.gateways", list)
"""One application for each gateway, with what is its own; a single one is the application itself."""
STARTED = web.AppKey("oaicompat_proxy.started", int)
"""Unix time in seconds at which the process began to serve."""

REPORT = web.RequestKey("oaicompat_proxy.report", RunReport)
"""Only of a request that is to run the agent."""
REQUEST_ID = web.RequestKey("oaicompat_proxy.request_id", str)
RECEIVED = web.RequestKey("oaicompat_proxy.received", float)
"""`time.monotonic()` at which the request's headers were read."""
RECORDING: web.RequestKey[Recording | None] = web.RequestKey("oaicompat_proxy.recording")
"""Takes the answer in the client's place if the request has an `Idempotency-Key`. Of a request for a run."""
BODY = web.RequestKey("oaicompat_proxy.body", bytes)
"""The request's body, if there is such a recording."""
CALLER = web.RequestKey("oaicompat_proxy.caller", Caller)
CLIENT = web.RequestKey("oaicompat_proxy.client", str)
"""The address that the request came from, as far as proxies in between can be believed."""
RATE_HEADERS = web.RequestKey("oaicompat_proxy.rate_headers", dict[str, str])
"""What the answer says about the caller's limit, if there is one."""
