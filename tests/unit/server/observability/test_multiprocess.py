"""Metrics of several processes, as one: whichever of them is asked."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import values

from oaicompat_proxy.config.settings import ConfigError
from oaicompat_proxy.server.observability import multiprocess as shared_metrics
from tests.support.processes import Child, stopping
from tests.support.prometheus_text import Exposition

pytestmark = pytest.mark.slow

SLOW = "[[scenario:silent]]"
"""A prompt for which the demo agent is silent for a long time."""


class Worker:
    """A proxy with its demo agent, as one of several that count together."""

    def __init__(self, cleanup: ExitStack) -> None:
        child = Child(sys.executable, "-m", "oaicompat_proxy", "--demo", "--port", "0")
        cleanup.enter_context(stopping(child))
        self.pid = child.pid
        self.base = child.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]

    def chat(self, text: str = "Hello", timeout: float = 10) -> None:
        body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": text}]}).encode()
        with urllib.request.urlopen(self.base + "/v1/chat/completions", body, timeout=timeout) as answer:
            answer.read()

    def scrape(self) -> Exposition:
        with urllib.request.urlopen(self.base + "/metrics", timeout=10) as answer:
            return Exposition(answer.read().decode())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def workers() -> Iterator[tuple[Worker, Worker]]:
    with shared_metrics.sharing(), ExitStack() as cleanup:
        yield Worker(cleanup), Worker(cleanup)


def test_each_worker_shows_what_all_have_counted(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    first.chat()
    first.chat()
    second.chat()
    wait_for(lambda: first.scrape().total("oaicompat_runs_total") == 3)  # an answer is out a moment before it counts
    for worker in workers:
        metrics = worker.scrape()
        assert metrics.total("oaicompat_runs_total", outcome="success", gen_ai_request_model="demo") == 3
        assert metrics.total("gen_ai_server_request_duration_seconds_count") == 3
        assert metrics.total("gen_ai_server_request_duration_seconds_bucket", le="+Inf") == 3
        assert metrics.total("oaicompat_build_info") == 1
        wait_for(lambda worker=worker: worker.scrape().total("oaicompat_runs_running") == 0)


def test_what_goes_on_in_another_is_seen_within_a_moment(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    with pytest.raises(TimeoutError):
        first.chat(SLOW, timeout=0.5)
    with urllib.request.urlopen(second.base + "/healthz", timeout=10):
        pass
    wait_for(lambda: second.scrape().total("oaicompat_client_disconnects_total") == 1)
    wait_for(lambda: second.scrape().total("oaicompat_runs_cancelled_total") == 1)
    wait_for(lambda: second.scrape().total("oaicompat_runs_running") == 0)


def test_of_one_that_has_died_only_what_it_counted_stays(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    first.chat()
    with ExitStack() as cleanup:
        third = Worker(cleanup)
        third.chat()
        directory = Path(os.environ[shared_metrics.VARIABLE])
        assert list(directory.glob(f"gauge_live*_{third.pid}.db"))
    shared_metrics.forget_worker(third.pid)
    assert not list(directory.glob(f"gauge_live*_{third.pid}.db"))
    wait_for(
        lambda: second.scrape().total("oaicompat_runs_total") == 2
    )  # the first one's count follows within a second
    assert second.scrape().total("oaicompat_build_info") == 1


def test_the_directory_lives_as_long_as_they_do() -> None:
    assert not shared_metrics.is_shared()
    with shared_metrics.sharing():
        directory = Path(os.environ[shared_metrics.VARIABLE])
        assert shared_metrics.is_shared()
        assert list(directory.iterdir()) == []
        assert values.ValueClass is not values.MutexValue
    assert not directory.exists()
    assert not shared_metrics.is_shared()
    assert values.ValueClass is values.MutexValue


def test_a_directory_that_is_named_is_used_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shared_metrics.VARIABLE, str(tmp_path))
    with shared_metrics.sharing():
        assert os.environ[shared_metrics.VARIABLE] == str(tmp_path)
    assert tmp_path.exists()
    assert shared_metrics.is_shared()


def test_a_read_only_file_system_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: str) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.delenv(shared_metrics.VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.mkdtemp", fails)
    with pytest.raises(ConfigError, match=r"TMPDIR.*No usable temporary directory"), shared_metrics.sharing():
        pass
