"""Real processes for tests: the proxy, and nginx in front of it.

Both are contexts that yield a base URL, `http://127.0.0.1:PORT`, and always end their process. The output of
a process is logged, so pytest shows it for a test that fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support import guardian
from tests.support.paths import ROOT

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)

NGINX_FILES = ROOT / "scripts" / "deploy" / "nginx"
LISTEN = "listen 8080;"
UPSTREAM = "server 127.0.0.1:8700;"

START = 20.0
"""Seconds for a process to start, on a busy machine."""
STOP = 10.0
"""Seconds for a process to end by itself."""
PORT_ATTEMPTS = 5


class Child:
    """A process whose lines are kept, and passed on to the log."""

    def __init__(self, *command: str, **more: Any) -> None:
        self._name = " ".join(command)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            **more,
        )
        guardian.guard(self._process.pid)
        self._output = ""
        self._ended = False
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, pattern: str, within: float = START) -> re.Match[str]:
        """The first match in the output. Fails if the process ends, or the time is over, before there is one."""
        deadline = time.monotonic() + within
        with self._news:
            while not (found := re.search(pattern, self._output)):
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended" if self._ended else f"ran for {within:g} s"
                    raise AssertionError(f"{self._name} {why} and never printed {pattern!r}:\n{self._output}")
                self._news.wait(left)
            return found

    @property
    def output(self) -> str:
        """The whole output so far."""
        return self._output

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def status(self, within: float = STOP) -> int:
        """Waits for the end of the process; returns its exit status."""
        return self._process.wait(within)

    def resident(self) -> int:
        """Bytes of resident memory."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """Sends SIGTERM, and SIGKILL if the process does not end in time."""
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise AssertionError(f"{self._name} did not end within {STOP:g} s of SIGTERM") from None
        finally:
            guardian.release(self._process.pid)
            self._listener.join(STOP)

    def _listen(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                log.info("%s", line.rstrip("\n"))
                self._add(line)
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _add(self, line: str) -> None:
        with self._news:
            self._output += line
            self._news.notify_all()


@contextlib.contextmanager
def stopping(child: Child) -> Iterator[Child]:
    try:
        yield child
    finally:
        child.stop()


@contextlib.contextmanager
def proxy(*flags: str) -> Iterator[str]:
    """The proxy in front of its demo agent."""
    with stopping(Child(sys.executable, "-m", "oaicompat_proxy", "--demo", "--port", "0", *flags)) as child:
        yield child.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]


@contextlib.asynccontextmanager
async def proxy_before(upstream: str, *flags: str) -> AsyncIterator[tuple[Child, str]]:
    """A proxy process in front of a gateway of the test process, and its base URL. It may end by itself."""
    command = [sys.executable, "-m", "oaicompat_proxy", "--upstream", upstream, "--port", "0", *flags]
    child = Child(*command)
    try:
        found = await asyncio.to_thread(child.wait_for, r"listens on +(http://127\.0\.0\.1:\d+|unix:\S+)")
        yield child, found[1]
    finally:
        await asyncio.to_thread(child.stop)


@contextlib.contextmanager
def nginx(
    upstream: int | str, directory: Path | None = None, *, instead: Mapping[str, str] | None = None
) -> Iterator[str]:
    """nginx with the configuration that we ship, as an unprivileged user. `directory` gets its logs.

    `upstream`: where the proxy listens: a port of this machine, or `unix:FILE`.
    `instead`: lines of the configuration, and what is to stand in their place.
    """
    server = upstream if isinstance(upstream, str) else f"127.0.0.1:{upstream}"
    edits = {UPSTREAM: f"server {server};", **(instead or {})}
    with nginx_listening(lambda port: {LISTEN: f"listen 127.0.0.1:{port};", **edits}, directory) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def nginx_listening(edits: Callable[[int], Mapping[str, str]], directory: Path | None = None) -> Iterator[int]:
    """`edits`: makes of the port the lines of the configuration that are replaced, with their replacements."""
    with contextlib.ExitStack() as cleanup:
        home = directory or Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="nginx-")))
        for _ in range(PORT_ATTEMPTS):
            port = free_port()
            child = _start_nginx(home, write_nginx_files(home, edits(port)))
            cleanup.enter_context(stopping(child))
            if child.wait_for("start worker process|Address already in use")[0].startswith("start"):
                yield port
                return
        raise AssertionError(f"{PORT_ATTEMPTS} free ports were all taken before nginx got them")


def nginx_program() -> str:
    """The path of nginx. Fails if it is not installed: tests that need it are never skipped."""
    program = shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")
    assert program, "nginx is not installed, and these tests are about it: apt-get install nginx"
    return program


def write_nginx_files(home: Path, edits: Mapping[str, str]) -> Path:
    """Writes the shipped files with the replacements. Fails unless each replaced line is in them exactly once."""
    texts = {each.relative_to(NGINX_FILES): each.read_text() for each in NGINX_FILES.rglob("*.conf")}
    for old, new in edits.items():
        places = [path for path, text in texts.items() for _ in range(text.count(old))]
        assert len(places) == 1, f"{NGINX_FILES} should have the line {old!r} once, not in {places}"
        texts[places[0]] = texts[places[0]].replace(old, new)
    for path, text in texts.items():
        (home / path).parent.mkdir(exist_ok=True)
        (home / path).write_text(text)
    return home / "nginx.conf"


def _start_nginx(home: Path, conf: Path) -> Child:
    more: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        more = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    to_us = "daemon off; error_log stderr notice;"
    return Child(nginx_program(), "-e", "stderr", "-p", f"{home}/", "-c", str(conf), "-g", to_us, **more)


def free_port() -> int:
    """A port that is free now; another process may take it before the caller."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])
