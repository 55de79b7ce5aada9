"""Chat applications: installed and started as the README says, between a person's requests and a real proxy."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import urlopen

from tests.clients.recipes import Place
from tests.clients.recording_relay import Relay
from tests.clients.test_clients import count_runs
from tests.support.processes import Child, free_port, stopping

START = 240.0
"""Seconds for an application to start: it makes its database first."""
PATIENCE = 60.0
"""Seconds for an answer and what is asked beside it."""


@dataclass(frozen=True)
class Proxy:
    """In front of its demo agent."""

    child: Child
    gateway: str

    @property
    def runs(self) -> int:
        """Of the agent."""
        return count_runs(self.gateway)

    def lines(self, *parts: str) -> list[str]:
        """Those of its log about requests for answers, that have all these parts."""
        lines = re.findall(r"^.* run request_id=.*$", self.child.output, re.MULTILINE)
        return [line for line in lines if all(part in line for part in parts)]

    def sessions(self) -> list[str]:
        """The sessions of its runs."""
        return [found[1] for line in self.lines() if (found := re.search(r" session=(\S+)", line))]


@contextmanager
def proxy_behind(relay: Relay, *flags: str) -> Iterator[Proxy]:
    with stopping(Child(sys.executable, "-m", "oaicompat_proxy", "--demo", "--port", "0", *flags)) as child:
        relay.pass_on_to(child.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1])
        yield Proxy(child, child.wait_for(r"gateway +(http://127\.0\.0\.1:\d+)")[1])


def wait_until(holds: Callable[[], object], within: float = PATIENCE) -> None:
    """An application does not report when something has happened, so it is polled."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.1)


@contextmanager
def application(place: Place, relay: Relay, port: str, health: str, settings: Mapping[str, str]) -> Iterator[str]:
    """Its address, once it answers there.

    `port`: the port in its recipe, in whose place it gets a free one. `health`: the path of its health check.
    """
    place.install()
    work = place.home / "run"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    own = free_port()
    program = place.program(relay.base).replace(port, str(own))
    environment = {**place.environment, "HOME": str(work), **settings}
    base = f"http://127.0.0.1:{own}"
    with stopping(Child("bash", "-c", program, cwd=work, env=environment)) as child:
        try:
            wait_until(lambda: _answers(base + health), START)
            yield base
        finally:
            os.killpg(child.pid, signal.SIGTERM)  # the shell's children, too


def _answers(url: str) -> bool:
    try:
        with urlopen(url) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
