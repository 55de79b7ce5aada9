"""The far end: what the gateway offers, and, if that is wanted, one real run."""

from __future__ import annotations

import time
from typing import Any

from ..client import Answer, AnswerError, ask
from .finding import Finding
from .probe import Chain, new_client

UPSTREAM = "oaicompat-proxy: --upstream, --upstream-token"
QUESTION = "Say hello in one short sentence."

OFFERS = {
    "apps": ("lists its apps", "does not list its apps: the proxy learns them from a refusal"),
    "close": ("closes sessions on demand", "has no method to close a session: the proxy uses /close and /events"),
    "abort": (
        "interrupts a run, and its session goes on",
        "cannot interrupt a run: its session is closed, or in one that is kept the run goes on without its reader",
    ),
    "confirm": (
        "takes confirmations of tools",
        "takes no confirmations: an agent's tool that waits for a human ends its run with an error",
    ),
    "messages": (
        "takes conversations message by message: --history full sends them so",
        "takes one message a run: --history full is sent folded, as by default",
    ),
}
"""What is said of a method that is there, and of one that is not."""


async def check_gateway(chain: Chain, *, confirmations: str) -> list[Finding]:
    async with new_client() as client:
        offer = await chain.get(client, "gateway")
    if not offer["reachable"]:
        return [Finding("gateway", "bad", str(offer["reason"]), UPSTREAM)]
    told = [_judge_offer(name, bool(offer[name]), confirmations) for name in OFFERS if name in offer]
    return told or [Finding("gateway", "ok", "there is none: the agent itself is called, and it answers")]


def _judge_offer(name: str, offered: bool, confirmations: str) -> Finding:
    check, (there, absent) = f"gateway: {name}", OFFERS[name]
    if offered:
        return Finding(check, "ok", f"the gateway {there}")
    if name == "confirm" and confirmations != "deny":
        mend = "oaicompat-proxy: --confirmations deny, or a newer gateway"
        return Finding(check, "warn", f"the gateway {absent}", mend)
    return Finding(check, "note", f"the gateway {absent}")


async def check_run(chain: Chain, model: str) -> list[Finding]:
    """One streamed answer of the agent's: it costs what a run costs."""
    answer, began, arrivals = Answer(), time.monotonic(), []

    def show(kind: str, piece: str) -> None:
        arrivals.append(time.monotonic() - began)

    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
    async with new_client(total=None) as client:
        try:
            await ask(client, chain.base, body, chain.headers, answer, show)
        except AnswerError as error:
            return [Finding("run", "bad", f"{error} [{answer.request_id}]", "the agent, or its gateway's log")]
    first = f"{arrivals[0]:.1f} s to the first word, " if arrivals else "no text, "
    text = f"{first}{time.monotonic() - began:.1f} s in all, ended by {answer.finish_reason}, {answer.tokens} tokens"
    return [Finding("run", "ok" if arrivals else "warn", text)]
