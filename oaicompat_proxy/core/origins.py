"""Allows or rejects requests of web pages by their `Origin` and `Host` (CORS, DNS rebinding).

Any web page can make its visitor's browser send requests to the visitor's own machine. The browser sends the page's
origin in `Origin` (Fetch standard, "HTTP extensions"), and the name that was resolved in `Host`: a foreign name there
means DNS rebinding, where the page's own name resolves to this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

LOCAL_SCHEMES = frozenset({"app", "tauri", "vscode-webview", "vscode-file"})
"""Schemes of pages that belong to a program on the user's machine; no web site has one."""

ANY = "*"

MAX_HOST = 256
"""Characters of the longest `Host` whose decision is cached; host names are shorter (RFC 1035, 2.3.4)."""

HOSTS = 256
"""Decisions that are cached."""

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_NAMED_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]+/?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@/?#\\\s]+)(?::\d{0,5})?", re.IGNORECASE)
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252})", re.IGNORECASE)


class OriginPolicy:
    """The allowed origins, and the allowed names of the server."""

    def __init__(self, cors: str, allowed_hosts: Iterable[str] = ()) -> None:
        """`cors`: the setting: origins separated by commas, or `*`. `allowed_hosts`: names, or `*`."""
        self._origins = frozenset(filter(None, (each.rstrip("/").lower() for each in re.split(r"[,\s]+", cors))))
        self._hosts = frozenset(each.rstrip(".").lower() for each in allowed_hosts)
        self._allows_host = lru_cache(HOSTS)(self._judge_host)

    def names(self, origin: str) -> bool:
        """Whether the setting `cors` names this origin; `*` names all."""
        return ANY in self._origins or origin.lower() in self._origins

    def allows_origin(self, origin: str) -> bool:
        """Allows origins that `cors` names, of this machine, or with LOCAL_SCHEMES. `null` (sandboxed pages) must be
        named.
        """
        if self.names(origin):
            return True
        found = _ORIGIN.fullmatch(origin)
        if found is None:
            return False
        scheme, authority = found[1].lower(), found[2]
        return scheme in LOCAL_SCHEMES or (scheme in ("http", "https") and _is_loopback(host_of(authority)))

    def owns_host(self, host: str) -> bool:
        """Whether this `Host` names the server itself: a loopback name, or one that the setting allows."""
        name = host_of(host)
        return bool(name) and (ANY in self._hosts or name in self._hosts or _is_loopback(name))

    def owns_origin(self, origin: str) -> bool:
        """Whether a page of this origin came from this server, by the rule of `owns_host`."""
        found = _ORIGIN.fullmatch(origin)
        return found is not None and found[1].lower() in ("http", "https") and self.owns_host(found[2])

    def allows_host(self, host: str) -> bool:
        """Allows names of the setting, and names that need no DNS and so cannot be rebound: `localhost`, `*.localhost`
        and IP addresses.

        Cached: without it the decision took 2 % of a small request.
        """
        return self._allows_host(host) if len(host) <= MAX_HOST else self._judge_host(host)

    def _judge_host(self, host: str) -> bool:
        name = host_of(host)
        if ANY in self._hosts or name in self._hosts:
            return True
        return _is_localhost(name) or _is_address(name)


def host_of(authority: str) -> str:
    """The host in lower case, without port and final dot; an IPv6 address without brackets. Empty if malformed."""
    found = _AUTHORITY.fullmatch(authority)
    return found[1].strip("[]").rstrip(".").lower() if found else ""


def is_same_origin(origin: str, host: str) -> bool:
    """Whether the origin of a page is that of the request's `Host`, so the page calls its own server."""
    found = _ORIGIN.fullmatch(origin)
    return found is not None and found[1].lower() in ("http", "https") and found[2].lower() == host.lower() != ""


def names_origins(cors: str) -> bool:
    """Whether each entry of the setting can be an `Origin`; a host without a scheme would never be one."""
    return all(each in (ANY, "null") or _NAMED_ORIGIN.fullmatch(each) for each in re.split(r"[,\s]+", cors) if each)


def is_host_name(text: str) -> bool:
    """Whether `--allowed-host` accepts it: a name or an address without scheme and port, or `*`."""
    return text == ANY or _is_address(text) or _HOST_NAME.fullmatch(text) is not None


def _is_loopback(host: str) -> bool:
    return _is_localhost(host) or (_is_address(host) and ip_address(host).is_loopback)


def _is_localhost(host: str) -> bool:
    """RFC 6761, 6.3: these names always resolve to the loopback address."""
    return host == "localhost" or host.endswith(".localhost")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
