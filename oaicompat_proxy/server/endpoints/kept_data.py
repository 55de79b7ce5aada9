"""`GET` and `DELETE …/kept_data?key=NAME&user=NAME`: counts or deletes a caller's data, for the command `forget`.

Each caller may ask for its own data. For another key, or for a user, its entry in the keys file needs `forget = true`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web

from ...core.caller import Owner, user_scope
from ...core.errors import Forbidden
from ..context import CONTEXT, server_of
from ..kept_data import KeptData, count_kept, delete_kept

log = logging.getLogger(__name__)

PATH = "/kept_data"

Work = Callable[[Sequence[KeptData], set[Owner]], Awaitable[Mapping[str, int]]]


def add_routes(app: web.Application, base: str, kinds: Sequence[KeptData]) -> None:
    """`base`: the prefix of the application's paths. `kinds`: of all gateways."""
    app.router.add_get(base + PATH, functools.partial(_answer, kinds, count_kept))
    app.router.add_delete(base + PATH, functools.partial(_answer, kinds, delete_kept))


async def _answer(kinds: Sequence[KeptData], work: Work, request: web.Request) -> web.Response:
    """Raises Forbidden, StoreUnavailable."""
    counts = await work(kinds, _owners_of(request))
    name = request.query.get("key", "")
    deleted = request.method == "DELETE"
    if deleted:
        log.info(
            "the data of %s was deleted for %s",
            ascii(name) if name else "itself",
            request[CONTEXT].caller.name or "a caller",
        )
    user = request.query.get("user") or None
    return web.json_response(
        {"object": "kept_data", "key": name or None, "user": user, "deleted": deleted, "kinds": dict(counts)}
    )


def _owners_of(request: web.Request) -> set[Owner]:
    """The owners of the data that the request names: a key with its users, or one user. Raises Forbidden.

    A caller that may only ask for its own data is identified as in its other requests.
    """
    caller, keys = request[CONTEXT].caller, server_of(request).authenticator
    name, user = request.query.get("key", ""), request.query.get("user", "")
    is_own = name in ("", caller.name)
    may_ask = caller.may_forget or not (keys.requires_keys or caller.user)
    if is_own and user in ("", caller.user):
        return {Owner(caller.scope, with_users=may_ask and not caller.user)}
    if not caller.may_forget and (not is_own or keys.requires_keys or caller.user):
        raise Forbidden(
            "This key may only ask for its own data; for other keys and for users its entry in the keys file needs "
            "forget = true.",
            param="user" if is_own else "key",
        )
    scopes = {caller.scope} if is_own and not caller.user else keys.scopes_of(name or caller.name)
    return {Owner(user_scope(each, user)) if user else Owner(each, with_users=True) for each in scopes}
