"""The doctor before a real nginx: healthy with the configuration that we ship, and with each line of it spoilt."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from yarl import URL

from oaicompat_proxy.commands.apis import APIS
from oaicompat_proxy.commands.doctor.gateway_checks import check_gateway
from oaicompat_proxy.commands.doctor.probe import Probe
from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.build import FORM, is_optimised, python_build
from oaicompat_proxy.demo.gateway import serve
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.process.serve import listening
from tests.support.processes import free_port, nginx, port_of, proxy

pytestmark = pytest.mark.slow

KEEP_ALIVE = 0.5
"""Seconds between the proxy's comments: short, so that a silence of a few of them is short too."""
SILENCE = 2.2
IDLE = 1.6
WITHIN = 60.0

OVERRULED = "proxy_ignore_headers X-Accel-Buffering;"
"""Without it nginx follows the proxy's own header instead of its configuration."""

UNFRAMED = {"proxy_http_version 1.1": "proxy_http_version 1.0;"}
"""nginx's own default. Chunks it passes on at once even where it buffers; of HTTP/1.0 it fills its buffers first."""

ALL_SPOILT = {
    "proxy_buffering off": f"proxy_buffering on; {OVERRULED}",
    "gzip off": "gzip on; gzip_types text/event-stream; gzip_min_length 0;",
    "proxy_read_timeout 3600s": "proxy_read_timeout 2500ms;",
    "proxy_ignore_client_abort off": "proxy_ignore_client_abort on;",
    "client_max_body_size 32m": "client_max_body_size 1k;",
    "server_tokens off": "keepalive_timeout 1s;",
    **UNFRAMED,
}


@pytest.fixture(scope="module")
def behind() -> Iterator[str]:
    with proxy("--keep-alive", str(KEEP_ALIVE)) as base:
        yield base


def examine(base: str, *flags: str, silence: float = SILENCE) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the findings by the name of their check."""
    command = [sys.executable, "-m", "oaicompat_proxy", "doctor", base, "--json", *flags]
    times = ["--silence", str(silence), "--idle", str(IDLE)]
    done = subprocess.run([*command, *times], capture_output=True, text=True, timeout=WITHIN, check=False)
    assert done.stderr == ""
    return done.returncode, {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}


def spoilt(behind: str, silence: float = SILENCE, /, **edits: str) -> tuple[int, dict[str, dict[str, Any]]]:
    with nginx(port_of(behind), instead={f"{line};": new for line, new in edits.items()}) as base:
        return examine(base, silence=silence)


def ailing(findings: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The levels of findings that are problems."""
    levels = {name: finding["level"] for name, finding in findings.items()}
    return {name: level for name, level in levels.items() if level not in ("ok", "note")}


def test_the_configuration_that_we_ship_is_healthy(behind: str) -> None:
    with nginx(port_of(behind)) as base:
        status, findings = examine(base)
    assert ailing(findings) == {}
    assert status == 0
    assert "nginx" in findings["proxy"]["text"]
    assert (findings["secret"]["level"], findings["gateway: abort"]["level"]) == ("note", "note")


def test_so_is_the_proxy_alone(behind: str) -> None:
    status, findings = examine(behind)
    assert (status, ailing(findings)) == (0, {})
    assert "behind" not in findings["proxy"]["text"]
    assert findings["python"]["text"] == f"{python_build()}, the proxy's hot path is {FORM}"
    assert findings["python"]["level"] == ("ok" if is_optimised(python_build()) else "note")


@pytest.mark.parametrize(
    ("edits", "found", "fix"),
    [
        (
            {"proxy_buffering off": f"proxy_buffering on; {OVERRULED}", **UNFRAMED},
            {"buffering": "bad", "protocol": "bad", "connections": "warn"},
            "proxy_buffering off;",
        ),
        (
            {"proxy_buffering off": "proxy_buffering on;", **UNFRAMED},
            {"buffering": "warn", "protocol": "bad", "connections": "warn"},
            "proxy_buffering off;",
        ),
        (
            {"gzip off": "gzip on; gzip_types text/event-stream; gzip_min_length 0;"},
            {"compression": "bad"},
            "gzip off;",
        ),
        (
            {"proxy_read_timeout 3600s": "proxy_read_timeout 1s;"},
            {"silent answer": "warn"},
            "proxy_read_timeout 3600s;",
        ),
        (
            {"proxy_ignore_client_abort off": "proxy_ignore_client_abort on;"},
            {"disconnect": "bad"},
            "proxy_ignore_client_abort off;",
        ),
        (
            {"client_max_body_size 32m": "client_max_body_size 1k;"},
            {"body limit": "bad"},
            "client_max_body_size 32m;",
        ),
        (
            UNFRAMED,
            {"protocol": "bad", "connections": "warn"},
            "proxy_http_version 1.1;",
        ),
        (
            {'proxy_set_header Connection ""': "proxy_set_header Connection close;"},
            {"connections": "warn"},
            'proxy_set_header Connection "";',
        ),
        ({"keepalive 64": ""}, {"connections": "warn"}, "keepalive 64;"),
        (
            {"server_tokens off": "keepalive_timeout 1s;"},
            {"idle connection": "bad"},
            "keepalive_timeout 75s;",
        ),
        (
            {"proxy_set_header X-Request-Id $oaicompat_request_id": "proxy_set_header X-Request-Id $request_id;"},
            {"request id": "warn"},
            "X-Request-Id",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_each_line_that_is_spoilt_is_found_alone(
    behind: str, edits: dict[str, str], found: dict[str, str], fix: str
) -> None:
    status, findings = spoilt(behind, **edits)
    assert ailing(findings) == found
    assert status == 1
    assert fix in findings[next(iter(found))]["fix"]


def test_a_configuration_with_every_fault_gets_every_finding() -> None:
    with proxy("--keep-alive", "15") as base:
        status, findings = spoilt(base, 3.5, **ALL_SPOILT)
    assert status == 1
    assert ailing(findings) == {
        **dict.fromkeys(
            ("buffering", "compression", "protocol", "body limit", "idle connection", "silent stream"), "bad"
        ),
        **dict.fromkeys(("connections", "silent answer", "disconnect"), "warn"),  # the cut makes the last noticed too
    }
    assert all(finding["fix"].startswith("nginx: ") for finding in findings.values() if finding["level"] == "bad")


def test_a_configuration_that_says_nothing_is_not_good_enough(behind: str) -> None:
    """nginx as its packages leave it, with a `proxy_pass` added."""
    lines = ("proxy_buffering off", "gzip off", "proxy_http_version 1.1", "proxy_read_timeout 3600s")
    lines += ('proxy_set_header Connection ""', "client_max_body_size 32m", "keepalive 64")
    status, findings = spoilt(behind, **dict.fromkeys(lines, ""))
    assert ailing(findings) == {"buffering": "warn", "protocol": "bad", "connections": "warn", "body limit": "bad"}
    assert status == 1


def test_a_front_that_passes_on_only_some_routes_is_found(behind: str) -> None:
    refusals = "location ~ ^/v1/responses { limit_except GET POST { deny all; } proxy_pass http://oaicompat; }"
    _, findings = spoilt(behind, **{"gzip off": f"gzip off; {refusals}"})
    assert findings["endpoints"]["level"] == "bad"
    assert "DELETE /responses/id: 403" in findings["endpoints"]["text"]
    assert "POST" not in findings["endpoints"]["text"]


def test_the_limit_that_is_shown_is_the_real_one(behind: str) -> None:
    _, findings = spoilt(behind, **{"client_max_body_size 32m": "client_max_body_size 1m;"})
    assert "more than about 1 MiB are refused" in findings["body limit"]["text"]
    assert "the proxy takes 32 MiB" in findings["body limit"]["text"]


# What cannot be tested, and the far end


def test_where_nothing_listens_nothing_is_tested() -> None:
    status, findings = examine(f"http://127.0.0.1:{free_port()}")
    assert (status, ailing(findings)) == (2, {"proxy": "unknown"})


def test_a_proxy_without_diagnostics_is_no_wrong_address() -> None:
    with proxy("--diagnostics", "off") as base:
        status, findings = examine(base)
    assert (status, list(findings)) == (2, ["proxy"])
    assert "--diagnostics on" in findings["proxy"]["text"]


def test_a_stopped_proxy_differs_from_an_untestable_one() -> None:
    with nginx(free_port()) as base:
        status, findings = examine(base)
    assert status == 2
    assert "not the proxy that answers" in findings["proxy"]["text"]


async def test_a_gateway_that_is_gone_is_found() -> None:
    config = Config(upstream=f"http://127.0.0.1:{free_port()}", port=0)
    async with listening(create_app(config), config) as port:
        found = await check_gateway(Probe(URL(f"http://127.0.0.1:{port}/v1"), {}), confirmations="deny")
    assert [(each.check, each.level) for each in found] == [("gateway", "bad")]
    assert "--upstream" in found[0].fix


@pytest.mark.parametrize(("confirmations", "level"), [("deny", "note"), ("ask", "warn")])
async def test_an_old_gateway_is_a_fault_only_where_more_is_asked_of_it(confirmations: str, level: str) -> None:
    async with serve(GatewaySettings(release="0.9.4")) as upstream:
        config = Config(upstream=upstream, port=0)
        async with listening(create_app(config), config) as port:
            found = await check_gateway(Probe(URL(f"http://127.0.0.1:{port}/v1"), {}), confirmations=confirmations)
    levels = {each.check: each.level for each in found}
    assert levels.pop("gateway: confirm") == level
    assert levels == dict.fromkeys(("gateway: apps", "gateway: close", "gateway: abort", "gateway: messages"), "note")


@pytest.mark.parametrize(("form", "finding"), [("standalone", "ok"), ("embedded", None)])
async def test_a_gateway_that_takes_messages_is_reported(form: str, finding: str | None) -> None:
    """Whether a gateway inside another server takes messages, only a run can show."""
    async with serve(GatewaySettings(wire="0.14", form="embedded" if form == "embedded" else "standalone")) as upstream:
        config = Config(upstream=upstream, port=0)
        async with listening(create_app(config), config) as port:
            found = await check_gateway(Probe(URL(f"http://127.0.0.1:{port}/v1"), {}), confirmations="deny")
    assert {each.check: each.level for each in found}.get("gateway: messages") == finding


@pytest.mark.parametrize("api", APIS)
def test_a_run_is_made_only_if_it_is_wanted(behind: str, api: str) -> None:
    _, without = examine(behind)
    status, findings = examine(behind, "--run", "--model", "demo", "--api", api)
    assert "run" not in without
    assert (status, findings["run"]["level"]) == (0, "ok")
    assert "tokens" in findings["run"]["text"]
    status, findings = examine(behind, "--run", "--model", "nobody")
    assert (status, findings["run"]["level"]) == (1, "bad")
    assert "nobody" in findings["run"]["text"]


def test_people_get_lines_and_the_line_to_write(behind: str) -> None:
    with nginx(port_of(behind), instead={"gzip off;": "gzip on; gzip_types *; gzip_min_length 0;"}) as base:
        command = [sys.executable, "-m", "oaicompat_proxy", "doctor", base, "--silence", "0", "--idle", "0.1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    (bad,) = (number for number, line in enumerate(lines) if line.startswith("✘"))
    assert lines[bad + 1].strip() == "nginx: gzip off;"
    assert sum(line.startswith("✔") for line in lines) >= 8
