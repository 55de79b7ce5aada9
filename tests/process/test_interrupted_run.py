"""A run of the tests is interrupted: nothing that they have started goes on."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(600)

START = 240.0
"""Seconds for a run to start its programs, on a busy machine."""
WITHIN = 60.0
"""Seconds for it to end; xdist itself gives its workers ten."""

START_OF_EACH = """
import pathlib, os, shutil, sys, tempfile, threading
from tests.browser.chromium import NAMES, started
from tests.support.processes import Child, nginx, stopping

pytest_plugins = ["tests.support.proxy_fixtures"]

def wait(name):
    pathlib.Path(os.environ["STARTED"], name).touch()
    threading.Event().wait()
"""
TESTS = {
    "servers": """
def test_servers(redis_server):
    flags = ("--upstream", "http://127.0.0.1:9", "--port", "0", "--workers", "2", "--redis", redis_server.url)
    with stopping(Child(sys.executable, "-m", "oaicompat_proxy", *flags)) as child:
        port = child.wait_for(r"listens on +http://127\\.0\\.0\\.1:(\\d+)", within=100)[1]
        with nginx(int(port)):
            wait("servers")
""",
    "browser": """
async def test_browser():
    program = next(filter(None, map(shutil.which, NAMES)))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with started(program, pathlib.Path(home)):
            wait("browser")
""",
}
"""A file for each worker."""


def descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from descendants(child)


def wait_for(path: Path, run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START
    while not path.exists():
        assert run.poll() is None, run.communicate()[0]
        if time.monotonic() > deadline:
            run.kill()
            pytest.fail(f"no {path.name}: {run.communicate()[0]}")
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_an_interrupted_run_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    for name, text in TESTS.items():
        (tmp_path / f"test_{name}.py").write_text(START_OF_EACH + text)
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "2",
        "--dist",
        "loadfile",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-s",
    ]
    run = subprocess.Popen(
        [*command, "-c", str(ROOT / "setup.cfg"), "--rootdir", str(ROOT), str(tmp_path)],
        cwd=ROOT,
        env={**own, "STARTED": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with run:
        wait_for(tmp_path / "servers", run)
        wait_for(tmp_path / "browser", run)
        names = {Path(f"/proc/{pid}/comm").read_text().strip(): pid for pid in descendants(run.pid)}
        assert {"nginx", "redis-server"} <= {*names}, names
        left = {os.pidfd_open(pid): pid for pid in {*descendants(run.pid)}}
        try:
            run.send_signal(number)
            deadline = time.monotonic() + WITHIN
            poll = select.poll()
            for each in left:
                poll.register(each, select.POLLIN)
            while left:
                ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
                assert ended, [(pid, Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in left.values()]
                for each, _ in ended:
                    poll.unregister(each)
                    del left[each]
                    os.close(each)
        finally:
            run.kill()
            for each, pid in left.items():
                os.close(each)
                os.kill(pid, signal.SIGKILL)
