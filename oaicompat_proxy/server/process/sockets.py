"""Listening sockets (TCP, Unix, or inherited from systemd), and the limit of open files."""

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

LISTEN_FDS_START = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3): the first file descriptor that systemd passes."""

OTHER_OPEN_FILES = 200
"""Open files beside the connections of clients: the program's own, Redis, sessions that are being closed."""


class ListenError(Exception):
    """Listening on the address failed; the message is for the operator."""


@contextlib.contextmanager
def open_sockets(config: Config) -> Iterator[list[socket.socket]]:
    """Bound sockets; they listen already only if systemd made them. Raises ListenError."""
    with contextlib.ExitStack() as stack:
        sockets = _inherited()
        if not sockets and config.unix_socket:
            sockets = [stack.enter_context(_unix_socket(config.unix_socket, int(config.unix_socket_mode, 8)))]
        elif not sockets:
            sockets = _tcp_sockets(config)
        for sock in sockets:
            stack.enter_context(sock)
        check_exposure(sockets, config)
        if hosts := exposed_hosts(sockets, config):
            log.warning("no authentication: everyone who can reach %s can use the agent (--no-auth)", hosts)
        yield sockets


def check_exposure(sockets: list[socket.socket], config: Config) -> None:
    """Checks sockets whose addresses are not from the configuration.

    Raises ListenError if other machines could connect without a key and `no_auth` is not set.
    """
    if not config.no_auth and (hosts := exposed_hosts(sockets, config)):
        raise ListenError(f"other machines can reach {hosts}: set --api-key or --api-keys-file, or --no-auth")


def exposed_hosts(sockets: list[socket.socket], config: Config) -> str:
    """Addresses at which other machines can call without a key, or "". The mode of a Unix socket protects it."""
    if config.has_keys:
        return ""
    hosts = [sock.getsockname()[0] for sock in sockets if sock.family != socket.AF_UNIX]
    return ", ".join(host for host in hosts if not is_loopback(host))


def is_exposed(sockets: list[socket.socket]) -> bool:
    """Whether other machines can connect."""
    return any(sock.family != socket.AF_UNIX and not is_loopback(sock.getsockname()[0]) for sock in sockets)


def address_of(sockets: list[socket.socket], host: str) -> str:
    """The URL at which a client on this machine can call, for the banner. `host`: as configured."""
    sock = sockets[0]
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"


def _inherited() -> list[socket.socket]:
    """The sockets of a systemd socket unit. They and their waiting connections survive a restart of the process."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    del os.environ["LISTEN_PID"]  # neither gunicorn nor a child process may take them too
    return [socket.socket(fileno=number) for number in range(LISTEN_FDS_START, LISTEN_FDS_START + count)]


def _tcp_sockets(config: Config) -> list[socket.socket]:
    """A socket for each address of the host, all on the same port. Raises ListenError."""
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
            raise ListenError(_listen_error(error, config)) from error
        on_failure.pop_all()
    return sockets


@contextlib.contextmanager
def _unix_socket(path: str, mode: int) -> Iterator[socket.socket]:
    """A Unix socket whose file is removed on exit. The stale file of a dead process is replaced."""
    owner = os.getpid()
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            _remove_stale(path)
            sock.bind(path)
            os.chmod(path, mode)  # before it listens, so that no other user can connect first
            own = _identity(path)
        except OSError as error:
            raise ListenError(f"cannot listen on {path}: {error.strerror or error}") from error
        try:
            yield sock
        finally:
            with contextlib.suppress(FileNotFoundError):
                # not in a worker, which exits here too, and not if another process has replaced the file
                if os.getpid() == owner and _identity(path) == own:
                    os.unlink(path)


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_ctime_ns


def _remove_stale(path: str) -> None:
    """Raises ListenError if the file is not a socket or another process listens on it; OSError."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ListenError(f"cannot listen on {path}: the file exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise ListenError(f"cannot listen on {path}: another process listens there; choose another file with --unix-socket")


def _listen_error(error: OSError, config: Config) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {config.port} of {config.host} is in use; choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {config.port} needs privileges; choose one above 1023 with --port"
    return f"cannot listen on {config.host}: {error.strerror or error}"


def raise_open_file_limit(connections: int) -> int:
    """Raises the soft limit of open files to two for each client: its connection, and the one to the gateway.

    Returns the connections that the limit allows, and warns if these are fewer. Beyond the limit no run can connect to
    the gateway, and libuv closes the connections that it accepts, without a word.
    """
    wanted = 2 * connections + OTHER_OPEN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard) or soft >= wanted:
        return connections
    limit = max(soft, min(wanted, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    allowed = min(connections, max(1, (limit - min(OTHER_OPEN_FILES, limit // 2)) // 2))
    if allowed < connections:
        log.warning(
            "%d open files allow %d connections instead of --max-connections %d: raise the limit (ulimit -n) to %d",
            *(limit, allowed, connections, wanted),
        )
    return allowed
