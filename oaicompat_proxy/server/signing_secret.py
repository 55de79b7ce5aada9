"""Where the secret of all signatures comes from: a setting, a file, the gateway's token, Redis, or chance.

A secret of chance is drawn when this module is imported. gunicorn imports it before it starts its workers, so all
processes of one tree have the same, and no other process has it.
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

from ..config.settings import Config, ConfigError
from ..core.errors import SessionsUnavailable
from ..core.signing import Secrets, SigningKeys
from .redis import mapped_errors

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

Origin = Literal["setting", "file", "token", "redis", "process"]

_BYTES = 32
_DRAWN = secrets.token_hex(_BYTES).encode()
_TOLD = mmap.mmap(-1, 1)
"""One byte, shared with all workers: whether somebody has said that the secret ends with the process."""

REDIS_KEY = "oaicompat:secret"
AGREE_EVERY = 60.0
"""Seconds between looks whether Redis still has the secret: a Redis that was emptied gets it again."""
AGREE_AGAIN = 2.0
"""The same as long as Redis has not answered at all."""

LEAST = 16
"""Characters of a secret in a file: fewer can be guessed from what is signed with it."""


def origin_of(config: Config) -> Origin:
    """Where the secret of this gateway comes from."""
    if config.session_secret:
        return "setting"
    if config.session_secret_file:
        return "file"
    if config.upstream_token:
        return "token"
    return "redis" if config.redis else "process"


def new_secrets() -> Secrets:
    """Those of chance, for one application and those that take its place."""
    return Secrets([_DRAWN])


def make_keys(config: Config, of_chance: Secrets, *, salt: str = "") -> SigningKeys:
    """`salt`: tells several gateways of one process apart. Raises ConfigError."""
    origin = origin_of(config)
    if origin == "setting":
        return SigningKeys(Secrets(each.encode() for each in config.session_secret), salt)
    if origin == "file":
        return SigningKeys(Secrets(read_or_make(config.session_secret_file)), salt)
    if origin == "token":
        return SigningKeys(Secrets([f"{config.upstream}\0{config.upstream_token}".encode()]), salt)
    return SigningKeys(of_chance, f"{config.upstream}\0{salt}")


def tell_once(config: Config) -> None:
    """Says in the log what ends with the process, once for all workers."""
    passing = [each for each in config.gateways if origin_of(each) == "process" and not each.demo]
    if passing and not _TOLD[0]:
        _TOLD[0] = 1
        log.warning(
            "without --session-secret-file, --session-secret, --upstream-token or --redis, names of sessions and open "
            "questions end with this process"
        )


# A file


def read_or_make(path: str) -> list[bytes]:
    """The secrets in a file, a line each, the newest first; made with one of chance if it is not there.

    Raises ConfigError.
    """
    try:
        if not os.path.exists(path):
            _make(path)
        with open(path, encoding="ascii") as file:
            lines = [line.strip() for line in file.read(64 * 1024).splitlines() if line.strip()]
            if os.fstat(file.fileno()).st_mode & 0o077:
                log.warning("--session-secret-file %s can be read by others than its owner", path)
    except OSError as error:
        raise ConfigError(f"--session-secret-file {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"--session-secret-file {path}: it must hold letters and digits") from None
    if not lines or any(len(line) < LEAST for line in lines):
        raise ConfigError(f"--session-secret-file {path}: each line must be a secret of at least {LEAST} characters")
    return [line.encode() for line in lines]


def _make(path: str) -> None:
    """Whoever is first makes it; it is never there in part. Raises OSError."""
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


async def agree(redis: Redis, of_chance: Secrets) -> None:
    """All processes in front of one Redis use the secret of the first of them. Raises SessionsUnavailable."""
    with mapped_errors():
        await redis.set(REDIS_KEY, of_chance.values[0], nx=True)
        found = await redis.get(REDIS_KEY)
    if isinstance(found, bytes) and len(found) >= 2 * _BYTES:
        of_chance.prefer(found)


async def keep_agreeing(redis: Redis, of_chance: Secrets, *, agreed: bool) -> None:
    """For as long as the process lives. `agreed`: whether it was done once."""
    while True:
        await asyncio.sleep(AGREE_EVERY if agreed else AGREE_AGAIN)
        with contextlib.suppress(SessionsUnavailable):
            await agree(redis, of_chance)
            agreed = True


@contextlib.asynccontextmanager
async def agreeing(redis: Redis | None, of_chance: Secrets) -> AsyncIterator[None]:
    """Agrees before the first request is served, if Redis answers, and again and again while the process lives."""
    if redis is None:
        yield
        return
    agreed = True
    try:
        await agree(redis, of_chance)
    except SessionsUnavailable:
        agreed = False
        log.warning("Redis does not answer: until it does, this process signs with a secret of its own")
    task = asyncio.create_task(keep_agreeing(redis, of_chance, agreed=agreed), name="agree on the secret")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
