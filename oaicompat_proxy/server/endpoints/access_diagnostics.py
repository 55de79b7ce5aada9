"""`GET …/diagnostics/access`, for the command `doctor`: whether the identity provider is reached, whether headers name
users, and where budgets are counted. It runs no agent, and shows no key and no user.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ...config.settings import Config
from ..access.authenticator import Authenticator
from ..access.users import HEADER
from ..context import CONTEXT
from ..single_sign_on.single_sign_on import SingleSignOn


def user_headers(config: Config) -> list[str]:
    """The names of the headers that may name a user."""
    return [each.removeprefix(HEADER) for each in config.user_from if each.startswith(HEADER)]


async def show_access(request: web.Request) -> web.Response:
    """`user_named`: whether a header of this request has named the user."""
    context = request[CONTEXT]
    server = context.server
    headers = user_headers(server.config)
    body = {
        "issuer": await _issuer(server.config, server.single_sign_on),
        "user_headers": headers,
        "user_headers_trusted": _is_anyone_trusted(server.config, server.authenticator),
        "user_named": any(context.caller.user == request.headers.get(name, "").strip() != "" for name in headers),
        "key_trusts_headers": context.caller.trusts_headers,
        "budgets": any(each.counted for each in server.authenticator.callers()),
        "shared_counts": bool(server.config.redis),
        "workers": server.config.workers,
    }
    return web.json_response(body)


async def _issuer(config: Config, single_sign_on: SingleSignOn | None) -> dict[str, Any] | None:
    """The state of the provider's keys, which are fetched first if that is due."""
    if single_sign_on is None:
        return None
    state = await single_sign_on.keys.state()
    return {"url": config.jwt_issuer, **state._asdict()}


def _is_anyone_trusted(config: Config, keys: Authenticator) -> bool:
    return bool(config.trust_user_from) or any(each.trusts_headers for each in keys.callers())
