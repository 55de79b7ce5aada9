"""A real Prometheus scrapes a real proxy, and answers queries about it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Child, free_port, port_of, stopping
from tests.unit.server.observability.test_metric_definitions import expressions

CONFIG = """\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: oaicompat
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def program(name: str) -> str:
    """Fails where there is none: a test that needs it is never skipped."""
    path = shutil.which(name)
    assert path, f"{name} is not installed, and these tests are about it: apt-get install prometheus"
    return path


class Prometheus:
    def __init__(self, base: str) -> None:
        self._base = base

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._base}/api/v1/query?{query}", timeout=10) as answer:
            body = json.loads(answer.read())
        assert body["status"] == "success", body
        result: list[dict[str, Any]] = body["data"]["result"]
        return result

    def value(self, expression: str) -> float:
        """NaN if there is none."""
        result = self.ask(expression)
        return float(result[0]["value"][1]) if result else float("nan")

    def wait_for(self, expression: str, value: float) -> None:
        deadline = time.monotonic() + 15
        while (seen := self.value(expression)) != value:
            assert time.monotonic() < deadline, f"{expression} is {seen}, not {value}"
            time.sleep(0.1)


@contextmanager
def scraping(port: int, directory: Path) -> Iterator[Prometheus]:
    config = directory / "prometheus.yml"
    config.write_text(CONFIG.format(port=port))
    own_port = free_port()
    child = Child(
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{own_port}",
    )
    with stopping(child):
        child.wait_for("Server is ready to receive web requests")
        yield Prometheus(f"http://127.0.0.1:{own_port}")


@pytest.fixture(scope="module")
def scraped_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Prometheus]]:
    """The proxy's address, and a Prometheus that scrapes it."""
    with ExitStack() as cleanup:
        child = Child(sys.executable, "-m", "oaicompat_proxy", "--demo", "--port", "0")
        cleanup.enter_context(stopping(child))
        base = child.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
        yield base, cleanup.enter_context(scraping(port_of(base), tmp_path_factory.mktemp("prometheus")))


def chat(base: str, text: str = "Hello", **fields: Any) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": text}], **fields}
    with urllib.request.urlopen(base + "/v1/chat/completions", json.dumps(body).encode(), timeout=20) as answer:
        answer.read()


def test_it_sees_every_run_once(scraped_proxy: tuple[str, Prometheus]) -> None:
    base, prometheus = scraped_proxy
    prometheus.wait_for('up{job="oaicompat"}', 1)
    for _ in range(2):
        chat(base, stream=True)
    chat(base, "Add 19 and 23 with a tool.")
    with pytest.raises(urllib.error.HTTPError):
        chat(base, n=2)
    prometheus.wait_for("sum(oaicompat_runs_total)", 4)  # all of them: a scrape may have come between two
    runs = prometheus.ask("sum by (outcome) (oaicompat_runs_total)")
    assert {each["metric"]["outcome"]: each["value"][1] for each in runs} == {"success": "3", "refused": "1"}
    prometheus.wait_for("sum(oaicompat_runs_running) + sum(oaicompat_runs_waiting)", 0)
    assert prometheus.value("sum(gen_ai_server_time_to_first_token_seconds_count)") == 2
    assert prometheus.value("sum(oaicompat_ticks_total)") == 4
    assert prometheus.value("oaicompat_build_info") == 1


def test_every_picture_of_the_dashboard_can_be_drawn(scraped_proxy: tuple[str, Prometheus]) -> None:
    base, prometheus = scraped_proxy
    chat(base, stream=True)
    prometheus.wait_for("sum(oaicompat_runs_running)", 0)
    for expression in expressions():
        prometheus.ask(expression.replace("$__rate_interval", "1m").replace("$model", ".*").replace("$job", ".*"))


def test_promtool_knows_the_rules(tmp_path: Path) -> None:
    rules = {
        "groups": [
            {
                "name": "dashboard",
                "rules": [
                    {"record": f"picture:{number}", "expr": text.replace("$__rate_interval", "1m")}
                    for number, text in enumerate(expressions())
                ],
            }
        ]
    }
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps(rules))
    done = subprocess.run(
        [program("promtool"), "check", "rules", str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
