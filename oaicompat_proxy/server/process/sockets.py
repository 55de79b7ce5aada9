"""Where the process listens: TCP, a socket file, or what systemd has opened; and how many files it may open."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import socket
import stat
from collections.abc import Iterator

from ...config.settings import Config
from ...core.addresses import is_loopback

log = logging.getLogger(__name__)

SYSTEMD_FIRST = 3
"""The number of the first socket that systemd hands over, as sd_listen_fds(3) has it."""

FILES_BESIDE = 200
"""Open files that are no client's: the program's own, Redis, sessions that are being closed."""


class ListenError(Exception):
    """The address cannot be listened on; the message is for the person who started the proxy."""


@contextlib.contextmanager
def open_sockets(config: Config) -> Iterator[list[socket.socket]]:
    """Bound, not yet listening, unless systemd made them. Raises ListenError."""
    with contextlib.ExitStack() as stack:
        sockets = _inherited()
        if not sockets and config.unix_socket:
            sockets = [stack.enter_context(_unix_socket(config.unix_socket, int(config.unix_socket_mode, 8)))]
        elif not sockets:
            sockets = _tcp_sockets(config)
        for sock in sockets:
            stack.enter_context(sock)
        check_reach(sockets, config)
        if reach := _reach(sockets, config):
            log.warning("anybody who reaches %s can use the agent: --no-auth asks for no key", reach)
        yield sockets


def check_reach(sockets: list[socket.socket], config: Config) -> None:
    """Where the address was not for the configuration to say. Raises ListenError where it needs keys, or `no_auth`."""
    if not config.no_auth and (reach := _reach(sockets, config)):
        raise ListenError(f"others can reach {reach}: give keys with --api-key or --api-keys-file, or say --no-auth")


def _reach(sockets: list[socket.socket], config: Config) -> str:
    """Where other machines can call without a key; empty if nowhere. Who may use a file is said by its mode."""
    if config.has_keys:
        return ""
    hosts = [sock.getsockname()[0] for sock in sockets if sock.family != socket.AF_UNIX]
    return ", ".join(host for host in hosts if not is_loopback(host))


def is_exposed(sockets: list[socket.socket]) -> bool:
    """Whether other machines can connect."""
    return any(sock.family != socket.AF_UNIX and not is_loopback(sock.getsockname()[0]) for sock in sockets)


def address_of(sockets: list[socket.socket], host: str) -> str:
    """For people: where a client on this machine can call. `host`: as it is configured."""
    sock = sockets[0]
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"


def _inherited() -> list[socket.socket]:
    """Those of a systemd socket unit: they live on while the process is started anew, and so do callers in them."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    del os.environ["LISTEN_PID"]  # heard by us: not by gunicorn too, nor by a child
    return [socket.socket(fileno=number) for number in range(SYSTEMD_FIRST, SYSTEMD_FIRST + count)]


def _tcp_sockets(config: Config) -> list[socket.socket]:
    """One for each address of the host, all on the same port. Raises ListenError."""
    sockets: list[socket.socket] = []
    port = config.port
    with contextlib.ExitStack() as on_failure:
        try:
            for family, *_, address in socket.getaddrinfo(
                config.host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                sock = on_failure.enter_context(socket.socket(family, socket.SOCK_STREAM))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((address[0], port, *address[2:]))
                port = sock.getsockname()[1]
                sockets.append(sock)
        except OSError as error:
            raise ListenError(_why_not(error, config)) from error
        on_failure.pop_all()
    return sockets


@contextlib.contextmanager
def _unix_socket(path: str, mode: int) -> Iterator[socket.socket]:
    """The file is ours from here on, and goes with us; one that a dead process has left is taken over."""
    owner = os.getpid()
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            _remove_stale(path)
            sock.bind(path)
            os.chmod(path, mode)  # before anybody can connect: it does not listen yet
            own = _identity(path)
        except OSError as error:
            raise ListenError(f"cannot listen on {path}: {error.strerror or error}") from error
        try:
            yield sock
        finally:
            with contextlib.suppress(FileNotFoundError):
                # a worker that ends comes along here too; and another process may have taken the place meanwhile
                if os.getpid() == owner and _identity(path) == own:
                    os.unlink(path)


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_ctime_ns


def _remove_stale(path: str) -> None:
    """Raises ListenError where something else is, or somebody listens; OSError."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ListenError(f"cannot listen on {path}: there is a file that is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise ListenError(f"cannot listen on {path}: another process does; choose another with --unix-socket")


def _why_not(error: OSError, config: Config) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {config.port} of {config.host} is taken; choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {config.port} needs privileges; choose one above 1023 with --port"
    return f"cannot listen on {config.host}: {error.strerror or error}"


def allow_files(connections: int) -> None:
    """Raises the soft limit of open files, up to one more for each connection's way to the gateway.

    Warns if there is not even room for the connections themselves.
    """
    wanted, needed = 2 * connections + FILES_BESIDE, connections + FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard) or soft >= wanted:
        return
    allowed = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    if allowed < needed:
        log.warning("%d open files are too few for --max-connections %d: allow %d", allowed, connections, wanted)
