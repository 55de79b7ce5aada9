"""Do streams arrive as they are sent, do silent ones live, and is it noticed when their client leaves?"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import aiohttp

from .finding import Finding
from .probe import Chain, Stream, new_client

EVENTS, INTERVAL = 10, 0.1
"""A test stream for the pace: events, and seconds between them."""

EVEN = 0.5
"""The share of the pauses between events that must arrive with them; a buffer leaves none, a busy machine most."""

SHORTEST_PING = 0.1
"""Seconds between two keep-alives that a proxy can be asked for."""

SOON = 1.0
"""Seconds within which a client's leaving should be noticed."""

STAY = 1.0
"""Seconds after which it leaves: the stream is there by then, or is held back, which is another finding."""

LOOK_FOR = 5.0
"""Seconds for which the doctor asks whether it was."""

PRESUMED_CUT = 60.0
"""Seconds after which nginx, and most of what may stand in a chain, gives up a silent answer by default."""

BUFFERING = "nginx: proxy_buffering off;"
ABORTS = "nginx: proxy_ignore_client_abort off;"
READ_TIMEOUT = "nginx: proxy_read_timeout 3600s;"
GZIP = "nginx: gzip off;"


async def check_pace(chain: Chain) -> list[Finding]:
    """Buffering and compression."""
    wanted: dict[str, Any] = {"events": EVENTS, "interval": INTERVAL}
    plain, bare = await asyncio.gather(chain.stream(**wanted), chain.stream(**wanted, accel=False))
    packed = await chain.stream(**wanted, encoding="gzip")  # two more are silent meanwhile, and four are allowed
    return [_judge_pace(plain, bare), _judge_encoding(packed)]


def _judge_pace(plain: Stream, bare: Stream) -> Finding:
    if not (plain.whole and bare.whole):
        return Finding("buffering", "bad", f"a test stream broke off after {plain.lasted:.1f} s", READ_TIMEOUT)
    if share_of_pauses(plain) < EVEN:
        text = f"streams are held back: {EVENTS} events, one each {INTERVAL:g} s, came together"
        return Finding("buffering", "bad", text, BUFFERING)
    if share_of_pauses(bare) < EVEN:
        text = (
            "streams come as they are sent only because the proxy asks for it by X-Accel-Buffering, which may get lost"
        )
        return Finding("buffering", "warn", text, BUFFERING)
    return Finding("buffering", "ok", "streams come as they are sent")


def share_of_pauses(stream: Stream) -> float:
    """How much of the time between the first and the last event was there too when they arrived."""
    return (stream.arrived[-1] - stream.arrived[0]) / (stream.sent[-1] - stream.sent[0])


def _judge_encoding(packed: Stream) -> Finding:
    if packed.encoding:
        return Finding("compression", "bad", f"streams are compressed ({packed.encoding}): small events wait", GZIP)
    return Finding("compression", "ok", "streams are not compressed on the way")


async def check_silence(chain: Chain, *, seconds: float, keep_alive: float, form: str) -> list[Finding]:
    """The cut of a silent answer, with and without the pings that are to prevent it."""
    kept, silent = await asyncio.gather(
        chain.stream(events=2, silence=seconds, pings=max(keep_alive, SHORTEST_PING)),
        chain.stream(events=2, silence=seconds),
    )
    return [_judge_kept(kept, seconds, keep_alive, form), _judge_silent(silent, seconds)]


def _judge_kept(kept: Stream, seconds: float, keep_alive: float, form: str) -> Finding:
    name = "silent stream"
    if not kept.whole:
        text = f"cut after {kept.lasted:.1f} s, although the proxy sends a {form} each {keep_alive:g} s"
        return Finding(name, "bad", text, f"{READ_TIMEOUT} or, shorter than the cut, oaicompat-proxy: --keep-alive")
    if seconds > keep_alive and not kept.pings:
        text = f"pings ({form}s) are removed on the way, so they cannot keep a silent stream open"
        return Finding(name, "warn", text, READ_TIMEOUT)
    return Finding(name, "ok", f"lives through {seconds:g} s of silence, with {kept.pings} pings ({form}s) in it")


def _judge_silent(silent: Stream, seconds: float) -> Finding:
    name = "silent answer"
    if not silent.whole:
        text = f'an answer with "stream": false, which has no pings, is cut after {silent.lasted:.1f} s'
        return Finding(name, "warn", text, f"{READ_TIMEOUT} or oaicompat-proxy: --json-keep-alive 15")
    if seconds <= PRESUMED_CUT:
        text = f"lives {seconds:g} s without a ping; the usual cut comes after {PRESUMED_CUT:g} s"
        return Finding(name, "note", text, "ask again with --silence 65")
    return Finding(name, "ok", f"lives through {seconds:g} s of silence without a ping")


async def check_leaving(chain: Chain) -> list[Finding]:
    """A client goes while the agent is silent."""
    name, token = "disconnect", uuid.uuid4().hex
    asking = asyncio.create_task(chain.stream(token=token, events=2, silence=STAY + 2 * LOOK_FOR))
    await asyncio.sleep(STAY)
    asking.cancel()
    await asyncio.wait([asking])
    left = time.monotonic()
    seen = False
    while time.monotonic() - left < LOOK_FOR:
        state = await _ask_state(chain, token)
        seen = seen or state["known"]
        if state.get("left_seconds_ago") is not None:
            return [_judge_leaving(max(time.monotonic() - left - state["left_seconds_ago"], 0.0))]
        await asyncio.sleep(0.05)
    if not seen:
        return [Finding(name, "unknown", "the worker that had the test stream was not met again; try once more")]
    text = f"a client that leaves is not noticed within {LOOK_FOR:g} s, so its agent runs on for nobody"
    return [Finding(name, "bad", text, ABORTS)]


async def _ask_state(chain: Chain, token: str) -> dict[str, Any]:
    """Over a new connection, which may lead to another worker."""
    async with new_client() as client:
        try:
            return await chain.get(client, f"streams/{token}")
        except (aiohttp.ClientError, ValueError):
            return {"known": False}


def _judge_leaving(seconds: float) -> Finding:
    if seconds > SOON:
        return Finding("disconnect", "warn", f"a client that leaves is noticed only after {seconds:.1f} s", ABORTS)
    return Finding("disconnect", "ok", f"a client that leaves is noticed after {1000 * seconds:.0f} ms")
