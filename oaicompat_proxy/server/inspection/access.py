"""Access to the inspector: never for pages of other sites, and where keys are required, only for keys that may inspect.

Pages of other sites are refused by `Origin`, `Host` and `Sec-Fetch-Site`. A key is exchanged for a signed cookie, which
does not contain the key and is invalid as soon as the key is.
"""

from __future__ import annotations

import time

from aiohttp import web

from ...config.settings import Config
from ...core.addresses import is_loopback
from ...core.caller import Caller
from ...core.errors import Forbidden, HostNotAllowed, MissingKey, OriginNotAllowed
from ...core.origins import OriginPolicy, is_same_origin
from ...core.signing import Secrets, SigningKeys
from ..access.api_keys import digest_of, presented_key
from ..access.signing_secret import derive_keys
from ..context import CONTEXT, server_of
from ..endpoints.metrics import UNKNOWN, hops_of

COOKIE = "oaicompat_inspect"
COOKIE_LIFE = 12 * 60 * 60
"""Seconds."""

LOOPBACK_ONLY = "Without keys only this machine may use the inspector. Give keys, one of them with inspect = true."
NO_RIGHT = "This key may not inspect runs. Its entry in the keys file needs inspect = true."
NO_KEY = "The inspector needs a key with inspect = true."


class Access:
    """Checks requests to the inspector of a server."""

    def __init__(self, config: Config, secrets: Secrets) -> None:
        self._keys: SigningKeys = derive_keys(config, secrets, salt="inspect")

    async def check(self, request: web.Request) -> str:
        """Returns the visitor's name for the log.

        Raises MissingKey, InvalidKey, Forbidden, and what `check_page` raises.
        """
        server = server_of(request)
        check_page(request, server.origins)
        if not server.authenticator.requires_keys:
            check_loopback(request, request[CONTEXT].client)
            return request[CONTEXT].client
        if server.authenticator.is_due:
            await server.authenticator.refresh()
        caller = self._caller_of_cookie(request) or self._caller_of_key(request)
        return caller.name

    def issue_cookie(self, request: web.Request, key: str) -> str:
        """The cookie for a key. Raises InvalidKey and Forbidden."""
        caller = server_of(request).authenticator.identify({"authorization": f"Bearer {key}"})
        _check_right(caller)
        expires = int(time.time()) + COOKIE_LIFE
        return f"{expires}.{self._keys.sign('inspect', digest_of(key).hex(), expires)}"

    def _caller_of_key(self, request: web.Request) -> Caller:
        if not presented_key(request.headers):
            raise MissingKey(NO_KEY)
        caller = server_of(request).authenticator.identify(request.headers)
        _check_right(caller)
        return caller

    def _caller_of_cookie(self, request: web.Request) -> Caller | None:
        expires, _, signature = request.cookies.get(COOKIE, "").partition(".")
        if not (expires.isascii() and expires.isdigit() and len(expires) < 20 and int(expires) > time.time()):
            return None
        for digest, caller in server_of(request).authenticator.inspectors():
            if self._keys.verify(signature, "inspect", digest.hex(), int(expires)):
                return caller
        return None


def _check_right(caller: Caller) -> None:
    if not caller.inspect:
        raise Forbidden(NO_RIGHT)


def check_page(request: web.Request, own: OriginPolicy) -> None:
    """Raises HostNotAllowed and OriginNotAllowed. A request that changes something must come from our own page."""
    host = request.headers.get("Host", "")
    if not own.owns_host(host):
        raise HostNotAllowed("The inspector does not answer to this host; --allowed-host can name it.")
    origins = request.headers.getall("Origin", ())
    if not all(map(own.owns_origin, origins)):
        raise OriginNotAllowed("Pages of this origin may not use the inspector.")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if request.method == "POST":
        if not origins or not all(is_same_origin(each, host) for each in origins) or site != "same-origin":
            raise OriginNotAllowed("Only the inspector's own page may do this.")
    elif site == "cross-site" and request.headers.get("Sec-Fetch-Mode") != "navigate":
        raise OriginNotAllowed("Pages from elsewhere may not use the inspector.")


def check_loopback(request: web.Request, client: str) -> None:
    """`client`: the address behind trusted proxies. Raises Forbidden."""
    if not is_loopback(client) or UNKNOWN in hops_of(request.headers):
        raise Forbidden(LOOPBACK_ONLY)
