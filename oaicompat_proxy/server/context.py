"""What the application and a request carry, by typed keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from ..config.per_model import PerModel
from ..config.settings import Config
from ..core.caller import Caller
from ..core.origins import OriginPolicy
from ..core.signing import Secrets, SigningKeys

CONFIG = web.AppKey("oaicompat_proxy.config", Config)
PER_MODEL = web.AppKey("oaicompat_proxy.per_model", PerModel)
ORIGINS = web.AppKey("oaicompat_proxy.origins", OriginPolicy)
"""Which pages may call, and under which names the server is called."""
EXPOSED = web.AppKey("oaicompat_proxy.exposed", bool)
"""Whether other machines can connect to a socket that is listened on; not there before listening begins."""
SECRETS = web.AppKey("oaicompat_proxy.secrets", Secrets)
"""Those of chance, of the whole process."""
SIGNING_KEYS = web.AppKey("oaicompat_proxy.signing_keys", SigningKeys)
"""Of everything that is signed or hashed for a gateway: session names, conversations, ids of tool calls."""
PREFIXES: web.AppKey[Sequence[str]] = web.AppKey("oaicompat_proxy.prefixes")
"""Those of all gateways."""
STARTED = web.AppKey("oaicompat_proxy.started", int)
"""Unix time in seconds at which the process began to serve."""

REQUEST_ID = web.RequestKey("oaicompat_proxy.request_id", str)
RECEIVED = web.RequestKey("oaicompat_proxy.received", float)
"""`time.monotonic()` at which the request's headers were read."""
BODY = web.RequestKey("oaicompat_proxy.body", bytes)
"""The request's body, where it was read already to tell whether the run is a new one."""
CALLER = web.RequestKey("oaicompat_proxy.caller", Caller)
CLIENT = web.RequestKey("oaicompat_proxy.client", str)
"""The address that the request came from, as far as proxies in between can be believed."""
RATE_HEADERS: web.RequestKey[Mapping[str, str]] = web.RequestKey("oaicompat_proxy.rate_headers")
"""What the answer says about the caller's limit, if there is one."""
