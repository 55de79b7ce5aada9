"""`oaicompat-proxy doctor URL`: tests a real chain from the client's end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import click
from yarl import URL

from ..terminal import harmless, open_terminal
from ..url_option import Address, key_header, key_option
from .finding import Finding, exit_status
from .gateway_checks import check_gateway, check_run
from .probe import Chain, Unreachable, new_client
from .request_checks import check_body, check_idle, check_protocol
from .stream_checks import check_leaving, check_pace, check_silence

if TYPE_CHECKING:
    from rich.console import Console

SIGNS = {"ok": ("✔", "green"), "note": ("•", "cyan"), "unknown": ("?", "yellow")}
SIGNS |= {"warn": ("!", "yellow"), "bad": ("✘", "red")}


Check = partial[Coroutine[Any, Any, list[Finding]]]


class Plan(NamedTuple):
    """What is tested besides what always is. Times are seconds."""

    silence: float
    idle: float
    run: bool
    model: str


@click.command("doctor")
@click.argument("url", type=Address())
@click.option(
    "--silence",
    type=click.FloatRange(0, 300),
    default=65.0,
    show_default=True,
    help="How long a silent stream is tried; most of what cuts them does so after 60 s. 0 leaves it out.",
)
@click.option(
    "--idle",
    type=click.FloatRange(0.1, 300),
    default=6.0,
    show_default=True,
    help="How long a connection is left idle; the official Python client uses one again for 5 s.",
)
@click.option("--run/--no-run", default=False, show_default=True, help="Also run the agent once: it costs tokens.")
@click.option("--model", default="default", show_default=True, help="The agent that --run runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@key_option
def doctor(url: URL, silence: float, idle: float, run: bool, model: str, as_json: bool, api_key: str) -> None:
    """Test a chain from the client's end, through whatever stands in front of the proxy at URL.

    Says what is wrong and which line of configuration mends it. No agent is run without --run. Exit status: 0 all
    good, 1 something to mend, 2 something could not be tested.
    """
    chain = Chain(url, key_header(api_key))
    tell: Callable[[Finding], None] = (lambda finding: None) if as_json else _Report(open_terminal()).tell
    findings = asyncio.run(examine(chain, Plan(silence, idle, run, model), tell))
    if as_json:
        told = [finding._asdict() for finding in findings]
        click.echo(json.dumps({"url": str(url), "findings": told}, ensure_ascii=False, indent=2))
    raise SystemExit(exit_status(findings))


async def examine(chain: Chain, plan: Plan, tell: Callable[[Finding], None]) -> list[Finding]:
    """Every finding, told as it is made. What only waits goes on beside the rest."""
    findings: list[Finding] = []

    def add(found: list[Finding]) -> None:
        findings.extend(found)
        for finding in found:
            tell(finding)

    try:
        async with new_client() as client:
            told = await chain.about(client)
    except Unreachable as error:
        add([Finding("proxy", "unknown", str(error))])
        return findings
    add([_introduce(chain, told), *_judge_secret(told.get("secret", ""))])
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(_safely(check)) for check in _waiting_checks(chain, plan, told)]
        for check in _busy_checks(chain, plan, told):
            add(await _safely(check))
        for task in waiting:
            add(await task)
    return findings


def _waiting_checks(chain: Chain, plan: Plan, told: dict[str, Any]) -> list[Check]:
    checks: list[Check] = [partial(check_idle, chain, seconds=plan.idle)]
    if plan.silence:
        keep_alive, form = told["keep_alive"], told["keep_alive_form"]
        checks.append(partial(check_silence, chain, seconds=plan.silence, keep_alive=keep_alive, form=form))
    return checks


def _busy_checks(chain: Chain, plan: Plan, told: dict[str, Any]) -> list[Check]:
    """One after another, so that none disturbs the times of another."""
    checks: list[Check] = [
        partial(check_pace, chain),
        partial(check_leaving, chain),
        partial(check_protocol, chain),
        partial(check_body, chain, most=told["max_body"]),
        partial(check_gateway, chain, confirmations=told["confirmations"]),
    ]
    return [*checks, partial(check_run, chain, plan.model)] if plan.run else checks


async def _safely(check: Check) -> list[Finding]:
    """A chain that fails in the middle of a check leaves it untested."""
    try:
        return await check()
    except (aiohttp.ClientError, OSError, EOFError, TimeoutError, ValueError, KeyError, Unreachable) as error:
        name = check.func.__name__.removeprefix("check_")
        return [Finding(name, "unknown", f"could not be tested: {error or type(error).__name__}")]


def _introduce(chain: Chain, told: dict[str, Any]) -> Finding:
    who = f"oaicompat-proxy {told['version']}"
    front = "" if chain.front == "oaicompat-proxy" else f", behind {chain.front or 'something without a name'}"
    return Finding("proxy", "ok", f"{who} answers{front}")


def _judge_secret(origin: str) -> list[Finding]:
    """How long names last. `origin`: of the proxy's secret, as its diagnostics tell it."""
    if origin != "process":
        return []
    text = "names of sessions and open questions end with the proxy's process"
    return [Finding("secret", "note", text, "oaicompat-proxy: --session-secret-file FILE, or --redis URL")]


class _Report:
    """For people, line by line."""

    def __init__(self, terminal: Console) -> None:
        self._terminal = terminal

    def tell(self, finding: Finding) -> None:
        sign, style = SIGNS[finding.level]
        self._terminal.print(harmless(f"{sign} {finding.check}: {finding.text}"), style=style)
        if finding.mend:
            self._terminal.print(harmless(f"    {finding.mend}"), style="bold")
