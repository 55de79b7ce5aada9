"""How requests come through: the protocol, connections that are used again, and how large a body may be."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from .finding import Finding
from .probe import PATIENCE, Chain, Unreachable, new_client

REQUESTS = 12
"""Over one connection of the client's: more than a proxy has workers, as a rule."""

CLIENTS_IDLE = 5.0
"""Seconds for which the official Python client uses an idle connection again."""

ANSWER_WITHIN = 3.0
"""Seconds for 413 or 100; who says neither decides only when the whole body is there."""

VERSION = "nginx: proxy_http_version 1.1;"
CONNECTION = 'nginx: proxy_set_header Connection "";'
REUSE = f"nginx: upstream {{ … keepalive 64; }} {VERSION.removeprefix('nginx: ')} {CONNECTION.removeprefix('nginx: ')}"
REQUEST_ID = "nginx: proxy_set_header X-Request-Id $http_x_request_id;"
IDLE = "nginx: keepalive_timeout 75s;"


async def check_protocol(chain: Chain) -> list[Finding]:
    """HTTP/1.1 to the proxy, the request's id, and whether connections to the proxy are used again."""
    name = f"doctor-{uuid.uuid4().hex}"
    peers = set()
    async with new_client() as client:
        told = await chain.about(client, **{"X-Request-Id": name})
        for _ in range(REQUESTS):
            try:
                peers.add((await chain.about(client))["peer"])
            except Unreachable as error:
                return [Finding("connections", "bad", f"one of {REQUESTS} requests in a row was lost: {error}", REUSE)]
    return [_judge_version(told), _judge_reuse(told, len(peers)), _judge_id(told["request_id"], name)]


def _judge_version(told: dict[str, Any]) -> Finding:
    if told["http"] != "1.1":
        text = f"requests reach the proxy as HTTP/{told['http']}, where an answer that breaks off looks whole"
        return Finding("protocol", "bad", text, VERSION)
    return Finding("protocol", "ok", "requests reach the proxy as HTTP/1.1")


def _judge_reuse(told: dict[str, Any], peers: int) -> Finding:
    closes = told["connection"].lower() == "close"
    if peers == REQUESTS or closes:
        why = ' ("Connection: close")' if closes else ""
        return Finding("connections", "warn", f"each request makes a new connection to the proxy{why}", REUSE)
    return Finding("connections", "ok", f"{REQUESTS} requests in a row came over {peers} connection(s) to the proxy")


def _judge_id(seen: str, sent: str) -> Finding:
    if seen != sent:
        text = "the client's X-Request-Id does not reach the proxy, so its log cannot be matched with the client's"
        return Finding("request id", "warn", text, REQUEST_ID)
    return Finding("request id", "ok", "the client's X-Request-Id reaches the proxy")


async def check_idle(chain: Chain, *, seconds: float) -> list[Finding]:
    """An idle connection must live longer than clients use it again, or their next request may cross its close."""
    name = "idle connection"
    request = chain.head("GET", "")
    async with chain.dial() as (reader, writer):
        writer.write(request)
        if await _read_answer(reader):
            return [Finding(name, "warn", "a client's connection is closed after each answer", IDLE)]
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await reader.read(1)
        except TimeoutError:
            writer.write(request)
            await _read_answer(reader)
            return [Finding(name, "ok", f"a client's connection can be used again after {seconds:g} s")]
    lived = time.monotonic() - began
    if lived < CLIENTS_IDLE:
        text = f"a client's idle connection is closed after {lived:.1f} s, while its next request may be on its way"
        return [Finding(name, "bad", text, IDLE)]
    return [Finding(name, "ok", f"a client's idle connection lives {lived:.1f} s")]


async def _read_answer(reader: asyncio.StreamReader) -> bool:
    """Takes a whole answer; whether the connection is closed behind it. Raises OSError, EOFError, TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"\r\ntransfer-encoding: chunked" in head:
            await reader.readuntil(b"0\r\n\r\n")
        else:
            await reader.readexactly(int(head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0] or 0))
    return b"\r\nconnection: close" in head


async def check_body(chain: Chain, *, most: int) -> list[Finding]:
    """Whether what the proxy takes (`most` bytes) is taken by all in front of it: announced, not sent."""
    name = "body limit"
    refused = await _is_refused(chain, most)
    if refused is None:
        return [Finding(name, "unknown", "nothing on the way says in time whether it takes a large body")]
    if not refused:
        return [Finding(name, "ok", f"bodies of {_size(most)}, the proxy's --max-body, are taken")]
    taken, too_large = 0, most
    while too_large - taken > max(1024, taken // 100):
        middle = (taken + too_large) // 2
        if await _is_refused(chain, middle):
            too_large = middle
        else:
            taken = middle
    text = f"bodies of more than about {_size(taken)} are refused on the way; the proxy takes {_size(most)}"
    return [Finding(name, "bad", text, f"nginx: client_max_body_size {-(-most // 2**20)}m;")]


async def _is_refused(chain: Chain, size: int) -> bool | None:
    """None if neither 413 nor 100 comes in time."""
    lines = (f"Content-Length: {size}", "Content-Type: application/json", "Expect: 100-continue")
    async with chain.dial() as (reader, writer):
        writer.write(chain.head("POST", "streams", *lines))
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                status = (await reader.readuntil(b"\r\n")).split(b" ")[1]
        except TimeoutError:
            return None
    return {b"413": True, b"100": False}.get(status)


def _size(count: int) -> str:
    return f"{count / 2**20:.3g} MiB" if count >= 2**20 else f"{count / 2**10:.3g} KiB"
