"""Checks of the gateway: its optional methods, and, with `--run`, one real run."""

from __future__ import annotations

import time

from ..client import Answer, AnswerError, Api, ask
from .finding import Finding
from .probe import Probe, new_client

UPSTREAM = "oaicompat-proxy: --upstream, --upstream-token"
QUESTION = "Say hello in one short sentence."

FEATURES = {
    "apps": ("lists its apps", "does not list its apps: the proxy reads them in the error for an unknown app"),
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
"""The finding's text for a feature that the gateway has, and for one that it lacks."""


async def check_gateway(probe: Probe, *, confirmations: str) -> list[Finding]:
    async with new_client() as client:
        features = await probe.get(client, "gateway")
    if not features["reachable"]:
        return [Finding("gateway", "bad", str(features["reason"]), UPSTREAM)]
    findings = [_feature_finding(name, bool(features[name]), confirmations) for name in FEATURES if name in features]
    return findings or [Finding("gateway", "ok", "there is none: the agent itself is called, and it answers")]


def _feature_finding(name: str, offered: bool, confirmations: str) -> Finding:
    check, (there, absent) = f"gateway: {name}", FEATURES[name]
    if offered:
        return Finding(check, "ok", f"the gateway {there}")
    if name == "confirm" and confirmations != "deny":
        fix = "oaicompat-proxy: --confirmations deny, or a newer gateway"
        return Finding(check, "warn", f"the gateway {absent}", fix)
    return Finding(check, "note", f"the gateway {absent}")


async def check_run(probe: Probe, api: Api, model: str) -> list[Finding]:
    """Runs the agent once and measures its streamed answer."""
    answer, began, arrivals = Answer(), time.monotonic(), []

    def show(kind: str, piece: str) -> None:
        arrivals.append(time.monotonic() - began)

    body = api.request(model, [{"role": "user", "content": QUESTION}])
    async with new_client(total=None) as client:
        try:
            await ask(client, probe.base, api, body, probe.headers, answer, show)
        except AnswerError as error:
            return [Finding("run", "bad", f"{error} [{answer.request_id}]", "the agent, or its gateway's log")]
    first = f"{arrivals[0]:.1f} s to the first word, " if arrivals else "no text, "
    text = f"{first}{time.monotonic() - began:.1f} s in all, ended by {answer.finish_reason}, {answer.tokens} tokens"
    return [Finding("run", "ok" if arrivals else "warn", text)]
