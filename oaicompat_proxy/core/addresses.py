"""IP addresses: the client behind trusted proxies, and loopback addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

_PORT = re.compile(r"\[(.*)\](?::\d+)?|([\d.]+):\d+")


def parse_networks(texts: Iterable[str]) -> Networks:
    """Addresses and networks such as 10.0.0.0/8. Raises ValueError."""
    return tuple(ip_network(text, strict=False) for text in texts)


def is_loopback(host: str) -> bool:
    """Whether a socket on this host is reachable from this machine only. Of all names only localhost counts."""
    address = _parse(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def client_address(peer: str, forwarded: str, trusted: Networks) -> str:
    """The client's address: the last one in the chain of proxies that is not trusted.

    `peer`: the other end of the connection. `forwarded`: all of `X-Forwarded-For`. Each proxy appends the address of
    its client, so the chain is read from its end for as long as trusted proxies wrote it.
    """
    nearest = peer
    for text in reversed(forwarded.split(",") if forwarded else []):
        if not is_within(nearest, trusted):
            break
        address = _parse(text)
        if address is None:
            break
        nearest = str(address)
    return nearest


def is_within(text: str, networks: Networks) -> bool:
    """Whether the text is an address in one of the networks."""
    address = _parse(text)
    return address is not None and any(address in network for network in networks)


def _parse(text: str) -> Address | None:
    """Parses an address as proxies write it: with or without a port, IPv4 also as IPv4-mapped IPv6."""
    text = text.strip()
    if found := _PORT.fullmatch(text):
        text = found[1] or found[2] or ""
    try:
        address = ip_address(text.partition("%")[0])  # the zone is only meaningful on the sender's machine
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
