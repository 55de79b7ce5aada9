"""The targets: programs between the client and the simulated gateway."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .peers import PEERS
from .processes import START, Group, Keeper, Measured, Server, environment, module

OWN = ("pipe", "nginx", "proxy")
BEFORE = "before"
"""The proxy of another checkout."""
INSPECTED = "inspected"
"""The proxy with `--inspect`, without a viewer."""
WATCHED = "watched"
"""The proxy with `--inspect` and a viewer of each run."""
LOOKED_INTO = (INSPECTED, WATCHED)
TWO_WORKERS = "two workers"
"""The proxy with `--workers 2`."""
_FLAGS = {INSPECTED: ("--inspect",), WATCHED: ("--inspect",), TWO_WORKERS: ("--workers", "2")}
DIRECT = "direct"
"""The gateway itself, without a proxy."""
PEER_START = 120.0
MOST_FILES = 1_000_000

Command = list[str]
_PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
_LISTENS = r"listens on +http://127\.0\.0\.1:(\d+)"

_NGINX = """
daemon off;
worker_processes 1;
error_log stderr notice;
pid nginx.pid;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_body_buffer_size 1m;
    keepalive_requests 1000000;
    upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 512; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://gateway;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 3600s;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A listening program, and the form of requests to it."""

    name: str
    ports: tuple[int, ...]
    process: Measured
    native: bool
    """The target passes frames on unchanged, so requests have the gateway's protocol."""
    model: str = "bench"
    headers: tuple[str, ...] = ()

    def path(self, api: str) -> str:
        """The path of a client API at this target."""
        return "/send" if self.native else _PATHS[api]


class Stage:
    """The gateway, and the place where everything else is started, each in a process of its own."""

    def __init__(self, home: Path, stack: contextlib.ExitStack, peers: Mapping[str, str], before: Path | None) -> None:
        """Lasting processes end with `stack`. `peers`: paths of their programs. `before`: another checkout."""
        self._home = home
        self._before = before
        self._peers = peers
        self._started = 0
        self.keeper = Keeper(home)
        stack.callback(self.keeper.close)
        gateway = self._run("gateway", module("gateway.server"), stack)
        self.gateway: Measured = gateway
        self._gateway_port = int(gateway.wait_for(_LISTENS)[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._gateway_port}"

    @contextlib.contextmanager
    def target(self, name: str, *flags: str) -> Iterator[Target]:
        """A fresh target, which ends with the context. `flags`: of the proxy. Raises StartFailed."""
        with contextlib.ExitStack() as stack:
            yield self._start(name, flags, stack)

    @contextlib.contextmanager
    def under(self, tool: Callable[[Command], Command], name: str, within: float) -> Iterator[Target]:
        """A fresh pipe, proxy or `before`, run by the command that `tool` makes of its own. Raises StartFailed."""
        with contextlib.ExitStack() as stack:
            yield self._python(name, tool(self._command(name)), stack, within)

    @contextlib.contextmanager
    def workers(self, count: int) -> Iterator[Target]:
        """The proxy with so many workers; as processes side by side where it has no such option."""
        if "--workers" in _proxy_help():
            with self.target("proxy", "--workers", str(count)) as target:
                yield target
            return
        with contextlib.ExitStack() as stack:
            each = [stack.enter_context(self.target("proxy")) for _ in range(count)]
            ports = tuple(port for target in each for port in target.ports)
            yield replace(each[0], ports=ports, process=Group([target.process for target in each]))

    def _start(self, name: str, flags: tuple[str, ...], stack: contextlib.ExitStack) -> Target:
        if name == DIRECT:
            return Target(name, (self._gateway_port,), self.gateway, native=True)
        if name == "nginx":
            return self._nginx(stack)
        if name in PEERS:
            return self._peer(name, stack)
        return self._python(name, self._command(name, *flags), stack, START)

    def _command(self, name: str, *flags: str) -> Command:
        if name == "pipe":
            return module("targets.pipe", self.address)
        command = [sys.executable, "-m", "oaicompat_proxy", "--upstream", self.address, "--port", "0"]
        return [*command, *_FLAGS.get(name, ()), *flags]

    def _python(self, name: str, command: Command, stack: contextlib.ExitStack, within: float) -> Target:
        process = self._run(name, command, stack, env=environment(self._before if name == BEFORE else None))
        port = int(process.wait_for(_LISTENS, within)[1])
        if name == WATCHED:
            watcher = self._run("watcher", module("load.watcher", f"http://127.0.0.1:{port}"), stack)
            watcher.wait_for("watches", within)
        return Target(name, (port,), process, native=name == "pipe")

    def _nginx(self, stack: contextlib.ExitStack) -> Target:
        program = nginx_program()
        assert program is not None
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nginx-")))
        port = free_port()
        conf = home / "nginx.conf"
        conf.write_text(_NGINX.format(connections=raise_file_limit() - 100, gateway=self._gateway_port, port=port))
        more: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(home, nobody.pw_uid, nobody.pw_gid)
            more = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        command = [program, "-e", "stderr", "-p", f"{home}/", "-c", str(conf)]
        process = self._run("nginx", command, stack, **more)
        process.wait_for("start worker process ")
        return Target("nginx", (port,), process, native=True)

    def _peer(self, name: str, stack: contextlib.ExitStack) -> Target:
        peer = PEERS[name]
        port = free_port()
        words = {"program": self._peers.get(name) or peer.program, "port": port, "upstream": self.address}
        command = [word.format(**words) for word in peer.command]
        process = self._run(name, command, stack, env={**os.environ, **peer.environment})
        process.wait_for_port(port, PEER_START)
        headers = tuple(header.format(**words) for header in peer.headers)
        return Target(name, (port,), process, native=False, model=peer.model, headers=headers)

    def _run(self, name: str, command: list[str], stack: contextlib.ExitStack, **how: Any) -> Server:
        self._started += 1
        server = Server(name, command, self.keeper, self._home / f"{self._started:03d}-{name}.log", **how)
        stack.callback(server.stop)
        return server


@functools.cache
def _proxy_help() -> str:
    command = [sys.executable, "-m", "oaicompat_proxy", "--help"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment()).stdout


@contextlib.contextmanager
def open_stage(peers: Mapping[str, str] | None = None, before: Path | None = None) -> Iterator[Stage]:
    """The place of a measurement; everything that was started ends with it. Raises StartFailed."""
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="bench-") as home, contextlib.ExitStack() as stack:
        yield Stage(Path(home), stack, peers or {}, before)


def nginx_program() -> str | None:
    """The path of nginx; None if it is not installed."""
    return shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raise_file_limit() -> int:
    """File descriptors that a process may have, now that this one's limit is raised as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
