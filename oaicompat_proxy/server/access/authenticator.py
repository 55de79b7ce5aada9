"""Whose a request is: the keys of the command line, and those of a file that may change at any time."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

from aiohttp import web

from ...config.settings import Config, ConfigError
from ...core.addresses import client_address, parse_networks
from ...core.caller import Caller, scope_of
from ...core.errors import InvalidKey, MissingKey
from .keyring import Entry, Keyring, KeysError, number_keys, parse_keys, presented_key

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between looks whether the keys file has changed: nobody waits long for a key, or for the end of one."""

LARGEST_FILE = 1024 * 1024
"""Bytes of a keys file: some 10,000 keys, whose reading takes a fifth of a second, in a thread."""

CLIENTS = 1024
"""Of these the addresses are remembered, and the scopes, so that their next requests need not be looked into."""

LONGEST_CHAIN = 256
"""Characters of `X-Forwarded-For` up to which its address is remembered."""

THIS_MACHINE = "127.0.0.1"
"""Stands for the other end of a socket file, which has no address."""

NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)
WRONG_KEY = "Incorrect API key provided. You can get one from the operator of this server."
"""OpenAI shows a part of the wrong key here; what is not shown is never shown to the wrong one."""


class Callers:
    """Knows the keys."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError if the keys cannot be used."""
        self._config = config
        limits = {"requests_per_minute": config.requests_per_minute, "max_runs": config.max_runs_per_key}
        # by its scope, a digest: what a client sends may be a key, and is in memory no longer than its request
        strangers = partial(
            Caller, "", requests_per_minute=config.requests_per_minute, max_runs=config.max_runs_per_key
        )
        self._stranger_of = lru_cache(CLIENTS)(strangers)
        self._fixed = number_keys(config.api_key, **limits)
        self._file = config.api_keys_file
        self._passes_on = config.pass_authorization
        proxies = parse_networks(config.trusted_proxy)
        self._client_address = lru_cache(CLIENTS)(partial(client_address, trusted=proxies))
        # moving
        self._look_again = 0.0
        self._seen: object = None
        self._ring: Keyring | None = None
        if config.has_keys:
            try:
                self._read()
            except KeysError as error:
                raise ConfigError(str(error)) from None

    @property
    def ask_for_keys(self) -> bool:
        return self._ring is not None

    def address(self, request: web.BaseRequest) -> str:
        """Where the request came from, as far as it can be believed."""
        hops = request.headers.getall("X-Forwarded-For", None)
        peer = request.remote
        forwarded = ",".join(hops) if hops else ""
        find = self._client_address if len(forwarded) <= LONGEST_CHAIN else self._client_address.__wrapped__
        return find(THIS_MACHINE if peer == "" else peer or "-", forwarded)

    def identify(self, headers: Mapping[str, str]) -> Caller:
        """Raises MissingKey and InvalidKey."""
        caller = self._stranger(headers) if self._ring is None else self._owner(presented_key(headers))
        if not self._passes_on:
            return caller
        own = headers.get("Authorization", "").encode("utf-8", "surrogateescape").decode("latin-1")  # its very bytes
        return dataclasses.replace(caller, authorization=own)

    def _stranger(self, headers: Mapping[str, str]) -> Caller:
        """Without keys: told apart for their sessions' sake by what they send, limited together."""
        return self._stranger_of(scope_of(headers.get("Authorization") or presented_key(headers)))

    def _owner(self, key: str) -> Caller:
        if not key:
            raise MissingKey(NO_KEY)
        self._look()
        assert self._ring is not None
        caller = self._ring.find(key)
        if caller is None:
            raise InvalidKey(WRONG_KEY)
        return caller

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at the file: see `refresh`."""
        return bool(self._file) and time.monotonic() >= self._look_again

    async def refresh(self) -> None:
        """Takes a file that has changed, read in a thread. Meanwhile the keys from before are valid for others."""
        self._look_again = time.monotonic() + LOOK_EVERY
        if self._stamp() != self._seen:
            with contextlib.suppress(KeysError):  # told when it is read again, at once
                await asyncio.to_thread(read_keys, self._config)
            self._look_again = 0.0
            self._look()

    def _look(self) -> None:
        """Takes a file that has changed, or leaves everything as it is."""
        if not self._file or (now := time.monotonic()) < self._look_again:
            return
        self._look_again = now + LOOK_EVERY
        if self._stamp() == self._seen:
            return
        try:
            self._read()
        except KeysError as error:
            log.error("%s; the keys from before stay valid", error)
        else:
            log.info("%d keys are valid now", len(self._ring or ()))

    def _stamp(self) -> object:
        """Changes when the file does, also when another takes its place."""
        with contextlib.suppress(OSError):
            is_now = os.stat(self._file)
            return is_now.st_mtime_ns, is_now.st_ino, is_now.st_dev, is_now.st_size
        return None

    def _read(self) -> None:
        """Raises KeysError and changes nothing, or all of it."""
        if self._file:
            self._seen = self._stamp()  # before it is read: what is written meanwhile is seen next time
        try:
            entries = [*self._fixed, *read_keys(self._config)]
        except KeysError as error:
            raise KeysError(f"--api-keys-file {self._file} cannot be used: {error}") from None
        self._ring = Keyring(entries)


def read_keys(config: Config) -> Sequence[Entry]:
    """Those of the keys file, if there is one; the same text is parsed once. Raises KeysError."""
    if not config.api_keys_file:
        return ()
    return _parse(_text(config.api_keys_file), config.requests_per_minute, config.max_runs_per_key)


@lru_cache(1)
def _parse(text: str, requests_per_minute: int, max_runs: int) -> Sequence[Entry]:
    return parse_keys(text, requests_per_minute=requests_per_minute, max_runs=max_runs)


def _text(path: str) -> str:
    """Raises KeysError."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise KeysError(f"it is larger than {LARGEST_FILE} bytes")
        return data.decode()
    except OSError as error:
        raise KeysError(error.strerror or "it cannot be read") from None
    except UnicodeDecodeError:
        raise KeysError("it is no UTF-8") from None
