"""Which web pages may call, by the `Origin` and the `Host` of a request. Pure.

A page from anywhere can make its visitor's browser send requests to the visitor's own machine. The browser says in
`Origin` whose page it is (Fetch standard, "HTTP extensions"), and in `Host` the name that was resolved: a foreign
name in `Host` means DNS rebinding, where the page's own name points to this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

LOCAL_SCHEMES = frozenset({"app", "tauri", "vscode-webview", "vscode-file"})
"""Of pages that come with a program on the user's machine; no web site can have one."""

ANY = "*"

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@/?#\\\s]+)(?::\d{0,5})?", re.IGNORECASE)
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252})", re.IGNORECASE)


class OriginPolicy:
    """The pages that are allowed, and the names under which the server is called."""

    def __init__(self, cors: str, allowed_hosts: Iterable[str] = ()) -> None:
        """`cors`: origins separated by commas, or `*`, as the setting has them. `allowed_hosts`: names, or `*`."""
        self._origins = frozenset(filter(None, (each.rstrip("/").lower() for each in re.split(r"[,\s]+", cors))))
        self._hosts = frozenset(each.rstrip(".").lower() for each in allowed_hosts)

    def names(self, origin: str) -> bool:
        """Whether the operator has named this origin; `*` names all."""
        return ANY in self._origins or origin.lower() in self._origins

    def allows_origin(self, origin: str) -> bool:
        """Named, of this machine, or of a program's own pages. `null`, of sandboxed pages, has to be named."""
        if self.names(origin):
            return True
        found = _ORIGIN.fullmatch(origin)
        if found is None:
            return False
        scheme, authority = found[1].lower(), found[2]
        return scheme in LOCAL_SCHEMES or (scheme in ("http", "https") and _is_loopback(host_of(authority)))

    def allows_host(self, host: str) -> bool:
        """`localhost`, `*.localhost` and every IP address need no DNS, so nobody can rebind them."""
        name = host_of(host)
        if ANY in self._hosts or name in self._hosts:
            return True
        return _is_localhost(name) or _is_address(name)


def host_of(authority: str) -> str:
    """The host in lower case, without port and final dot; an IPv6 address without brackets. Empty if it is neither."""
    found = _AUTHORITY.fullmatch(authority)
    return found[1].strip("[]").rstrip(".").lower() if found else ""


def is_host_name(text: str) -> bool:
    """Whether it can stand in `--allowed-host`: a name or an address without scheme and port, or `*`."""
    return text == ANY or _is_address(text) or _HOST_NAME.fullmatch(text) is not None


def _is_loopback(host: str) -> bool:
    return _is_localhost(host) or (_is_address(host) and ip_address(host).is_loopback)


def _is_localhost(host: str) -> bool:
    """RFC 6761, 6.3: these names are the loopback."""
    return host == "localhost" or host.endswith(".localhost")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
