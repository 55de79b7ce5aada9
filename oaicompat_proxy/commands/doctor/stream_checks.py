"""Checks of streams: buffering, compression, silence, and a client that disconnects."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import aiohttp

from .finding import Finding
from .probe import Probe, ReceivedStream, new_client

EVENTS, INTERVAL = 10, 0.1
"""The test stream for buffering: number of events, and seconds between them."""

MIN_PAUSE_SHARE = 0.5
"""The share of the pauses between events that must remain on arrival. A buffer removes all, a busy machine a few."""

MIN_PING_INTERVAL = 0.1
"""Seconds between two keep-alives, at least, that the proxy accepts for a test stream."""

MAX_NOTICE_DELAY = 1.0
"""Seconds within which the proxy should notice that a client has disconnected."""

LEAVE_AFTER = 1.0
"""Seconds after which the test client disconnects. The stream has begun by then, unless it is buffered."""

POLL_FOR = 5.0
"""Seconds for which the doctor asks the proxy whether it has noticed."""

USUAL_READ_TIMEOUT = 60.0
"""Seconds of silence after which nginx and most other servers drop a response by default."""

BUFFERING = "nginx: proxy_buffering off;"
ABORTS = "nginx: proxy_ignore_client_abort off;"
READ_TIMEOUT = "nginx: proxy_read_timeout 3600s;"
GZIP = "nginx: gzip off;"


async def check_pace(probe: Probe) -> list[Finding]:
    """Checks buffering and compression."""
    wanted: dict[str, Any] = {"events": EVENTS, "interval": INTERVAL}
    plain, bare = await asyncio.gather(probe.read_stream(**wanted), probe.read_stream(**wanted, accel=False))
    compressed = await probe.read_stream(
        **wanted, encoding="gzip"
    )  # at most two: check_silence has two streams open, and four are allowed
    return [_pace_finding(plain, bare), _encoding_finding(compressed)]


def _pace_finding(plain: ReceivedStream, bare: ReceivedStream) -> Finding:
    if not (plain.is_complete and bare.is_complete):
        return Finding("buffering", "bad", f"a test stream broke off after {plain.duration:.1f} s", READ_TIMEOUT)
    if share_of_pauses(plain) < MIN_PAUSE_SHARE:
        text = f"streams are held back: {EVENTS} events, one each {INTERVAL:g} s, came together"
        return Finding("buffering", "bad", text, BUFFERING)
    if share_of_pauses(bare) < MIN_PAUSE_SHARE:
        text = (
            "streams come as they are sent only because the proxy asks for it by X-Accel-Buffering, which may get lost"
        )
        return Finding("buffering", "warn", text, BUFFERING)
    return Finding("buffering", "ok", "streams come as they are sent")


def share_of_pauses(stream: ReceivedStream) -> float:
    """The time from the first to the last event on arrival, as a share of the same time at sending."""
    return (stream.arrived[-1] - stream.arrived[0]) / (stream.sent[-1] - stream.sent[0])


def _encoding_finding(compressed: ReceivedStream) -> Finding:
    if compressed.encoding:
        return Finding("compression", "bad", f"streams are compressed ({compressed.encoding}): small events wait", GZIP)
    return Finding("compression", "ok", "streams are not compressed on the way")


async def check_silence(probe: Probe, *, seconds: float, keep_alive: float, form: str) -> list[Finding]:
    """Checks whether a silent response is cut, with and without keep-alives."""
    kept, silent = await asyncio.gather(
        probe.read_stream(events=2, silence=seconds, pings=max(keep_alive, MIN_PING_INTERVAL)),
        probe.read_stream(events=2, silence=seconds),
    )
    return [_silent_stream_finding(kept, seconds, keep_alive, form), _silent_answer_finding(silent, seconds)]


def _silent_stream_finding(kept: ReceivedStream, seconds: float, keep_alive: float, form: str) -> Finding:
    name = "silent stream"
    if not kept.is_complete:
        text = f"cut after {kept.duration:.1f} s, although the proxy sends a {form} each {keep_alive:g} s"
        return Finding(name, "bad", text, f"{READ_TIMEOUT} or, shorter than the cut, oaicompat-proxy: --keep-alive")
    if seconds > keep_alive and not kept.pings:
        text = f"pings ({form}s) are removed on the way, so they cannot keep a silent stream open"
        return Finding(name, "warn", text, READ_TIMEOUT)
    return Finding(name, "ok", f"survives {seconds:g} s of silence, with {kept.pings} pings ({form}s) in it")


def _silent_answer_finding(silent: ReceivedStream, seconds: float) -> Finding:
    name = "silent answer"
    if not silent.is_complete:
        text = f'an answer with "stream": false, which has no pings, is cut after {silent.duration:.1f} s'
        return Finding(name, "warn", text, f"{READ_TIMEOUT} or oaicompat-proxy: --json-keep-alive 15")
    if seconds <= USUAL_READ_TIMEOUT:
        text = f"survives {seconds:g} s without a ping; most servers cut after {USUAL_READ_TIMEOUT:g} s"
        return Finding(name, "note", text, "run doctor with --silence 65")
    return Finding(name, "ok", f"survives {seconds:g} s of silence without a ping")


async def check_disconnect(probe: Probe) -> list[Finding]:
    """Checks whether the proxy notices a client that disconnects while the agent is silent."""
    name, token = "disconnect", uuid.uuid4().hex
    asking = asyncio.create_task(probe.read_stream(token=token, events=2, silence=LEAVE_AFTER + 2 * POLL_FOR))
    await asyncio.sleep(LEAVE_AFTER)
    asking.cancel()
    await asyncio.wait([asking])
    left = time.monotonic()
    seen = False
    while time.monotonic() - left < POLL_FOR:
        state = await _ask_state(probe, token)
        seen = seen or state["known"]
        if state.get("left_seconds_ago") is not None:
            return [_disconnect_finding(max(time.monotonic() - left - state["left_seconds_ago"], 0.0))]
        await asyncio.sleep(0.05)
    if not seen:
        return [Finding(name, "unknown", "no request reached the worker of the test stream again; run doctor again")]
    text = f"a client that leaves is not noticed within {POLL_FOR:g} s, so its agent keeps running"
    return [Finding(name, "bad", text, ABORTS)]


async def _ask_state(probe: Probe, token: str) -> dict[str, Any]:
    """Asks over a new connection, which may lead to another worker."""
    async with new_client() as client:
        try:
            return await probe.get(client, f"streams/{token}")
        except (aiohttp.ClientError, ValueError):
            return {"known": False}


def _disconnect_finding(seconds: float) -> Finding:
    if seconds > MAX_NOTICE_DELAY:
        return Finding("disconnect", "warn", f"a client that leaves is noticed only after {seconds:.1f} s", ABORTS)
    return Finding("disconnect", "ok", f"a client that leaves is noticed after {1000 * seconds:.0f} ms")
