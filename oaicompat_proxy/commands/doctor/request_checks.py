"""Checks of requests: HTTP version, reuse of connections, request id, endpoints, and the size of bodies."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from .finding import Finding
from .probe import TIMEOUT, Probe, Unreachable, new_client

REQUESTS = 12
"""Requests over one connection: usually more than the proxy has workers."""

CLIENT_REUSE_TIME = 5.0
"""Seconds for which the official Python client reuses an idle connection."""

RESPONSE_TIMEOUT = 3.0
"""Seconds to wait for 413 or 100. A server that sends neither decides after the whole body."""

_HTTP_1_1, _NO_CONNECTION = "proxy_http_version 1.1;", 'proxy_set_header Connection "";'
HTTP_VERSION = f"nginx: {_HTTP_1_1}"
UPSTREAM_KEEPALIVE = f"nginx: upstream {{ … keepalive 64; }} {_HTTP_1_1} {_NO_CONNECTION}"
REQUEST_ID = "nginx: proxy_set_header X-Request-Id $http_x_request_id;"
NO_JSON = b"["
"""A request body that every endpoint refuses."""

LOCATION = "nginx: one location for all of /v1/, and all methods"
KEEPALIVE_TIMEOUT = "nginx: keepalive_timeout 75s;"


async def check_protocol(probe: Probe) -> list[Finding]:
    """Checks HTTP/1.1 to the proxy, the request id, and whether connections to the proxy are reused."""
    name = f"doctor-{uuid.uuid4().hex}"
    peers = set()
    async with new_client() as client:
        diagnostics = await probe.get_diagnostics(client, **{"X-Request-Id": name})
        for _ in range(REQUESTS):
            try:
                peers.add((await probe.get_diagnostics(client))["peer"])
            except Unreachable as error:
                return [
                    Finding(
                        "connections",
                        "bad",
                        f"one of {REQUESTS} requests in a row was lost: {error}",
                        UPSTREAM_KEEPALIVE,
                    )
                ]
    return [
        _version_finding(diagnostics),
        _reuse_finding(diagnostics, len(peers)),
        _request_id_finding(diagnostics["request_id"], name),
    ]


def _version_finding(diagnostics: dict[str, Any]) -> Finding:
    if diagnostics["http"] != "1.1":
        text = f"requests reach the proxy as HTTP/{diagnostics['http']}, where an answer that breaks off looks whole"
        return Finding("protocol", "bad", text, HTTP_VERSION)
    return Finding("protocol", "ok", "requests reach the proxy as HTTP/1.1")


def _reuse_finding(diagnostics: dict[str, Any], peers: int) -> Finding:
    closes = diagnostics["connection"].lower() == "close"
    if peers == REQUESTS or closes:
        why = ' ("Connection: close")' if closes else ""
        return Finding(
            "connections", "warn", f"each request makes a new connection to the proxy{why}", UPSTREAM_KEEPALIVE
        )
    return Finding("connections", "ok", f"{REQUESTS} requests in a row came over {peers} connection(s) to the proxy")


def _request_id_finding(seen: str, sent: str) -> Finding:
    if seen != sent:
        text = "the client's X-Request-Id does not reach the proxy, so its log cannot be matched with the client's"
        return Finding("request id", "warn", text, REQUEST_ID)
    return Finding("request id", "ok", "the client's X-Request-Id reaches the proxy")


async def check_endpoints(probe: Probe, *, routes: list[tuple[str, str, str]]) -> list[Finding]:
    """Checks that requests to each of the proxy's routes reach it. They are refused there, so no agent runs.

    `routes`: methods, paths, and a header of the proxy's answers.
    """
    lost = []
    async with new_client() as client:
        for method, path, header in routes:
            url = probe.base / path.lstrip("/")
            body = NO_JSON if method == "POST" else None
            async with client.request(method, url, headers=probe.headers, data=body) as response:
                if header not in response.headers:
                    lost.append(f"{method} {path}: {response.status}")
    if lost:
        text = f"requests do not reach the proxy: {', '.join(lost)}"
        return [Finding("endpoints", "bad", text, LOCATION)]
    return [Finding("endpoints", "ok", f"requests to all {len(routes)} routes of the APIs reach the proxy")]


async def check_idle(probe: Probe, *, seconds: float) -> list[Finding]:
    """Checks that an idle connection stays open longer than clients reuse it: otherwise a request meets its close."""
    name = "idle connection"
    request = probe.request_head("GET", "")
    async with probe.connect() as (reader, writer):
        writer.write(request)
        if await _read_answer(reader):
            return [Finding(name, "warn", "a client's connection is closed after each answer", KEEPALIVE_TIMEOUT)]
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await reader.read(1)
        except TimeoutError:
            writer.write(request)
            await _read_answer(reader)
            return [Finding(name, "ok", f"a client's connection can be used again after {seconds:g} s")]
    lived = time.monotonic() - began
    if lived < CLIENT_REUSE_TIME:
        text = f"a client's idle connection is closed after {lived:.1f} s, while its next request may be on its way"
        return [Finding(name, "bad", text, KEEPALIVE_TIMEOUT)]
    return [Finding(name, "ok", f"a client's idle connection stays open for {lived:.1f} s")]


async def _read_answer(reader: asyncio.StreamReader) -> bool:
    """Reads a response; returns whether the connection closes after it. Raises OSError, EOFError, TimeoutError."""
    async with asyncio.timeout(TIMEOUT):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"\r\ntransfer-encoding: chunked" in head:
            await reader.readuntil(b"0\r\n\r\n")
        else:
            await reader.readexactly(int(head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0] or 0))
    return b"\r\nconnection: close" in head


async def check_body(probe: Probe, *, max_body: int) -> list[Finding]:
    """Checks that servers in front of the proxy accept its largest body. The body is announced, but not sent."""
    name = "body limit"
    refused = await _is_rejected(probe, max_body)
    if refused is None:
        return [Finding(name, "unknown", "nothing on the way says in time whether it takes a large body")]
    if not refused:
        return [Finding(name, "ok", f"bodies of {_size(max_body)}, the proxy's --max-body, are taken")]
    taken, too_large = 0, max_body
    while too_large - taken > max(1024, taken // 100):
        middle = (taken + too_large) // 2
        if await _is_rejected(probe, middle):
            too_large = middle
        else:
            taken = middle
    text = f"bodies of more than about {_size(taken)} are refused on the way; the proxy takes {_size(max_body)}"
    return [Finding(name, "bad", text, f"nginx: client_max_body_size {-(-max_body // 2**20)}m;")]


async def _is_rejected(probe: Probe, size: int) -> bool | None:
    """Whether a body of this size is rejected; None if neither 413 nor 100 comes in time."""
    lines = (f"Content-Length: {size}", "Content-Type: application/json", "Expect: 100-continue")
    async with probe.connect() as (reader, writer):
        writer.write(probe.request_head("POST", "streams", *lines))
        try:
            async with asyncio.timeout(RESPONSE_TIMEOUT):
                status = (await reader.readuntil(b"\r\n")).split(b" ")[1]
        except TimeoutError:
            return None
    return {b"413": True, b"100": False}.get(status)


def _size(count: int) -> str:
    return f"{count / 2**20:.3g} MiB" if count >= 2**20 else f"{count / 2**10:.3g} KiB"
