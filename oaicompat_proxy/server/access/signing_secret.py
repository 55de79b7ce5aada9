"""The secret of all signatures: from a setting, a file, the gateway's token, Redis, or random.

A random secret is made when this module is imported. gunicorn imports this module before it starts its workers, so the
arbiter and its workers share the secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

from ...config.settings import Config, ConfigError
from ...core.errors import StoreUnavailable
from ...core.signing import Secrets, SigningKeys
from ..shared_storage.redis_client import mapped_errors

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

Origin = Literal["setting", "file", "token", "redis", "process"]

_BYTES = 32
_RANDOM = secrets.token_hex(_BYTES).encode()
_WARNED = mmap.mmap(-1, 1)
"""One byte, shared with all workers: 1 after the warning that the secret ends with the process."""

REDIS_KEY = "oaicompat:secret"
SYNC_INTERVAL = 60.0
"""Seconds between two checks that Redis has the secret; it is stored again after Redis has lost its data."""
RETRY_INTERVAL = 2.0
"""Seconds between two attempts until Redis has answered once."""

MIN_LENGTH = 16
"""Characters of a secret in a file: a shorter one can be found from its signatures."""


def origin_of(config: Config) -> Origin:
    """The origin of the gateway's secret."""
    if config.session_secret:
        return "setting"
    if config.session_secret_file:
        return "file"
    if config.upstream_token:
        return "token"
    return "redis" if config.redis else "process"


def random_secrets() -> Secrets:
    """The random secrets of a process."""
    return Secrets([_RANDOM])


def derive_keys(config: Config, random: Secrets, *, salt: str = "") -> SigningKeys:
    """`salt`: gives each gateway of one process keys of its own. Raises ConfigError."""
    origin = origin_of(config)
    if origin == "setting":
        return SigningKeys(Secrets(each.encode() for each in config.session_secret), salt)
    if origin == "file":
        return SigningKeys(Secrets(read_or_create(config.session_secret_file)), salt)
    if origin == "token":
        return SigningKeys(Secrets([f"{config.upstream}\0{config.upstream_token}".encode()]), salt)
    return SigningKeys(random, f"{config.upstream}\0{salt}")


def warn_if_ephemeral(config: Config) -> None:
    """Logs once for all workers that signatures end with the process."""
    ephemeral = [each for each in config.gateways if origin_of(each) == "process" and not each.demo]
    if ephemeral and not _WARNED[0]:
        _WARNED[0] = 1
        log.warning(
            "session names and pending confirmations end with this process: set --session-secret-file, "
            "--session-secret, --upstream-token or --redis to keep them"
        )


# A file


def read_or_create(path: str) -> list[bytes]:
    """The secrets in a file, one per line, the newest first. A missing file is made with a random one.

    Raises ConfigError.
    """
    try:
        if not os.path.exists(path):
            _create(path)
        with open(path, encoding="ascii") as file:
            lines = [line.strip() for line in file.read(64 * 1024).splitlines() if line.strip()]
            if os.fstat(file.fileno()).st_mode & 0o077:
                log.warning("--session-secret-file %s is readable by other users than its owner", path)
    except OSError as error:
        raise ConfigError(f"--session-secret-file {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"--session-secret-file {path}: it must be ASCII text") from None
    if not lines or any(len(line) < MIN_LENGTH for line in lines):
        raise ConfigError(f"--session-secret-file {path}: each line must have at least {MIN_LENGTH} characters")
    return [line.encode() for line in lines]


def _create(path: str) -> None:
    """Atomic: of several processes the first creates it, and none sees a part of it. Raises OSError."""
    handle, draft = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=".session-secret-")  # mode 600
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


# Redis


async def sync_secret(redis: Redis, random: Secrets) -> None:
    """Adopts the secret in Redis, or stores ours if there is none. Raises StoreUnavailable."""
    with mapped_errors():
        await redis.set(REDIS_KEY, random.values[0], nx=True)
        found = await redis.get(REDIS_KEY)
    if isinstance(found, bytes) and len(found) >= 2 * _BYTES:
        random.prefer(found)


async def _sync_loop(redis: Redis, random: Secrets, *, synced: bool) -> None:
    """Runs until it is cancelled. `synced`: whether Redis has answered once."""
    while True:
        await asyncio.sleep(SYNC_INTERVAL if synced else RETRY_INTERVAL)
        with contextlib.suppress(StoreUnavailable):
            await sync_secret(redis, random)
            synced = True


@contextlib.asynccontextmanager
async def secret_in_redis(redis: Redis | None, random: Secrets) -> AsyncIterator[None]:
    """Shares the random secret through Redis: before the first request if Redis answers, and then continuously."""
    if redis is None:
        yield
        return
    synced = True
    try:
        await sync_secret(redis, random)
    except StoreUnavailable as error:
        synced = False
        log.warning("until Redis answers, this process signs with its own random secret: %s", error.cause)
    task = asyncio.create_task(_sync_loop(redis, random, synced=synced), name="sync the secret")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
