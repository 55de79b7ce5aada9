"""Addresses: where a request really came from, and what only this machine can reach. Pure."""

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
    """Whether only this machine can reach what listens there. A name that is not localhost may be anywhere."""
    address = _parse(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def client_address(peer: str, forwarded: str, trusted: Networks) -> str:
    """Who began the request: the last address in its chain that is no proxy of ours.

    `peer` is the other end of the connection, `forwarded` all of `X-Forwarded-For`. Each proxy appends the address
    that it was called from, so the chain is read from its end for as long as proxies of ours wrote it.
    """
    nearest = peer
    for text in reversed(forwarded.split(",") if forwarded else []):
        if not _is_trusted(nearest, trusted):
            break
        address = _parse(text)
        if address is None:
            break
        nearest = str(address)
    return nearest


def _is_trusted(text: str, trusted: Networks) -> bool:
    address = _parse(text)
    return address is not None and any(address in network for network in trusted)


def _parse(text: str) -> Address | None:
    """An address as proxies write it: some add a port, some write the old kind in the new kind's way."""
    text = text.strip()
    if found := _PORT.fullmatch(text):
        text = found[1] or found[2] or ""
    try:
        address = ip_address(text.partition("%")[0])  # a zone is the sender's own word
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
