"""`oaicompat-proxy doctor URL`: tests everything between a client and the agent, from the client's end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import click
from yarl import URL

from ...core.build import is_optimised
from ..apis import api_option
from ..client import Api
from ..terminal import open_terminal, without_controls
from ..url_option import BaseUrl, key_header, key_option
from .access_checks import check_access
from .finding import Finding, exit_status
from .gateway_checks import check_gateway, check_run
from .probe import Probe, Unreachable, new_client
from .request_checks import check_body, check_endpoints, check_idle, check_protocol
from .stream_checks import check_disconnect, check_pace, check_silence

if TYPE_CHECKING:
    from rich.console import Console

SIGNS = {"ok": ("✔", "green"), "note": ("•", "cyan"), "unknown": ("?", "yellow")}
SIGNS |= {"warn": ("!", "yellow"), "bad": ("✘", "red")}


Check = partial[Coroutine[Any, Any, list[Finding]]]


class Options(NamedTuple):
    """The command's options. Times are seconds."""

    silence: float
    idle: float
    run: bool
    api: Api
    model: str


@click.command("doctor")
@click.argument("url", type=BaseUrl())
@click.option(
    "--silence",
    type=click.FloatRange(0, 300),
    default=65.0,
    show_default=True,
    help="Seconds of silence that a stream is tested with; most servers cut after 60 s. 0 skips the test.",
)
@click.option(
    "--idle",
    type=click.FloatRange(0.1, 300),
    default=6.0,
    show_default=True,
    help="Seconds that a connection is left idle; the official Python client reuses one for 5 s.",
)
@click.option("--run/--no-run", default=False, show_default=True, help="Also run the agent once, which costs tokens.")
@api_option
@click.option("--model", default="default", show_default=True, help="The agent that --run runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@key_option
def doctor(url: URL, silence: float, idle: float, run: bool, api: Api, model: str, as_json: bool, api_key: str) -> None:
    """Test the proxy at URL, and everything in front of it, from the client's end.

    Reports each problem with the line of configuration that solves it. No agent is run without --run. Exit status: 0 no
    problem, 1 a problem, 2 something could not be tested.
    """
    probe = Probe(url, key_header(api_key))
    report: Callable[[Finding], None] = (lambda finding: None) if as_json else _TerminalReport(open_terminal()).print
    findings = asyncio.run(examine(probe, Options(silence, idle, run, api, model), report))
    if as_json:
        body = {"url": str(url), "findings": [finding._asdict() for finding in findings]}
        click.echo(json.dumps(body, ensure_ascii=False, indent=2))
    raise SystemExit(exit_status(findings))


async def examine(probe: Probe, options: Options, report: Callable[[Finding], None]) -> list[Finding]:
    """Runs all checks and reports each finding at once. Checks that only wait run in the background."""
    findings: list[Finding] = []

    def add(found: list[Finding]) -> None:
        findings.extend(found)
        for finding in found:
            report(finding)

    try:
        async with new_client() as client:
            diagnostics = await probe.get_diagnostics(client)
    except Unreachable as error:
        add([Finding("proxy", "unknown", str(error))])
        return findings
    add([_proxy_finding(probe, diagnostics), *_python_findings(diagnostics)])
    add(_secret_findings(diagnostics.get("secret", "")))
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(_run_check(check)) for check in _background_checks(probe, options, diagnostics)]
        for check in _sequential_checks(probe, options, diagnostics):
            add(await _run_check(check))
        for task in waiting:
            add(await task)
    return findings


def _background_checks(probe: Probe, options: Options, diagnostics: dict[str, Any]) -> list[Check]:
    checks: list[Check] = [partial(check_idle, probe, seconds=options.idle)]
    if options.silence:
        keep_alive, form = diagnostics["keep_alive"], diagnostics["keep_alive_form"]
        checks.append(partial(check_silence, probe, seconds=options.silence, keep_alive=keep_alive, form=form))
    return checks


def _sequential_checks(probe: Probe, options: Options, diagnostics: dict[str, Any]) -> list[Check]:
    """Checks that run one after another, because they measure times."""
    checks: list[Check] = [
        partial(check_pace, probe),
        partial(check_disconnect, probe),
        partial(check_protocol, probe),
        partial(check_endpoints, probe, routes=diagnostics["routes"]),
        partial(check_body, probe, max_body=diagnostics["max_body"]),
        partial(check_gateway, probe, confirmations=diagnostics["confirmations"]),
    ]
    if diagnostics.get("tells_access"):  # an older proxy has no such check
        checks.append(partial(check_access, probe))
    return [*checks, partial(check_run, probe, options.api, options.model)] if options.run else checks


async def _run_check(check: Check) -> list[Finding]:
    """Runs a check; a connection that fails during it makes a finding of level `unknown`."""
    try:
        return await check()
    except (aiohttp.ClientError, OSError, EOFError, TimeoutError, ValueError, KeyError, Unreachable) as error:
        name = check.func.__name__.removeprefix("check_")
        return [Finding(name, "unknown", f"could not be tested: {error or type(error).__name__}")]


def _proxy_finding(probe: Probe, diagnostics: dict[str, Any]) -> Finding:
    who = f"oaicompat-proxy {diagnostics['version']}"
    front = (
        "" if probe.server_name == "oaicompat-proxy" else f", behind {probe.server_name or 'something without a name'}"
    )
    return Finding("proxy", "ok", f"{who} answers{front}")


def _python_findings(diagnostics: dict[str, Any]) -> list[Finding]:
    """The build of Python that the proxy runs on; an older proxy does not report it."""
    if not (build := diagnostics.get("python")):
        return []
    text = f"{build}, the proxy's hot path is {diagnostics['form']}"
    if is_optimised(build):
        return [Finding("python", "ok", text)]
    return [
        Finding("python", "note", text, "a Python built with profile-guided optimisation takes a quarter less time")
    ]


def _secret_findings(origin: str) -> list[Finding]:
    """A note if session names end with the process. `origin`: the source of the proxy's secret."""
    if origin != "process":
        return []
    text = "names of sessions and open questions end with the proxy's process"
    return [Finding("secret", "note", text, "oaicompat-proxy: --session-secret-file FILE, or --redis URL")]


class _TerminalReport:
    """Prints findings for people, line by line."""

    def __init__(self, terminal: Console) -> None:
        self._terminal = terminal

    def print(self, finding: Finding) -> None:
        sign, style = SIGNS[finding.level]
        self._terminal.print(without_controls(f"{sign} {finding.check}: {finding.text}"), style=style)
        if finding.fix:
            self._terminal.print(without_controls(f"    {finding.fix}"), style="bold")
