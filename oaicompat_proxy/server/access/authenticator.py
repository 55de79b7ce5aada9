"""Authentication by API keys: those of the settings, and those of a file that is reloaded when it changes."""

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
from ...core.addresses import client_address, is_within, parse_networks
from ...core.caller import Caller, named_scope, scope_of
from ...core.errors import InvalidKey, MissingKey
from .api_keys import ApiKeys, KeyEntry, KeysError, number_keys, other_key_of, parse_keys, presented_key

log = logging.getLogger(__name__)

CHECK_INTERVAL = 1.0
"""Seconds between two checks whether the keys file has changed: new and revoked keys take effect within it."""

MAX_FILE_BYTES = 1024 * 1024
"""Bytes of a keys file: some 10,000 keys. Reading them takes a fifth of a second, in a thread."""

CACHE_SIZE = 1024
"""Entries in the caches of client addresses and of callers without a key."""

MAX_CACHED_CHAIN = 256
"""Characters of `X-Forwarded-For` up to which its client address is cached."""

UNIX_SOCKET_PEER = "127.0.0.1"
"""The address of a client on a Unix socket, which has none."""

NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)
WRONG_KEY = "Incorrect API key provided. You can get one from the operator of this server."
"""OpenAI quotes a part of the wrong key. This message does not: the key may be a typo of another caller's key."""


class Authenticator:
    """Finds the caller of a request."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError for invalid keys."""
        self._config = config
        limits = {"requests_per_minute": config.requests_per_minute, "max_runs": config.max_runs_per_key}
        # cached by the scope, which is a digest: the header may hold a key, which must not outlive its request
        anonymous = partial(
            Caller, "", requests_per_minute=config.requests_per_minute, max_runs=config.max_runs_per_key
        )
        self._anonymous_of = lru_cache(CACHE_SIZE)(anonymous)
        self._fixed = number_keys(config.api_key, **limits)
        self._file = config.api_keys_file
        self._passes_authorization = config.pass_authorization
        proxies = self._proxies = parse_networks(config.trusted_proxy)
        self._client_address = lru_cache(CACHE_SIZE)(partial(client_address, trusted=proxies))
        # state
        self._check_at = 0.0
        self._seen: object = None
        self._keys: ApiKeys | None = None
        if config.has_keys:
            try:
                self._read()
            except KeysError as error:
                raise ConfigError(str(error)) from None

    @property
    def requires_keys(self) -> bool:
        return self._keys is not None

    def address(self, request: web.BaseRequest) -> str:
        """The client's address: that of the last hop that is not a trusted proxy."""
        if not self._proxies:
            return peer_of(request)
        hops = request.headers.getall("x-forwarded-for", None)
        forwarded = ",".join(hops) if hops else ""
        find = self._client_address if len(forwarded) <= MAX_CACHED_CHAIN else self._client_address.__wrapped__
        return find(peer_of(request), forwarded)

    def trusts_peer(self, request: web.BaseRequest) -> bool:
        """Whether the connection's peer is a trusted proxy."""
        return is_within(peer_of(request), self._proxies)

    def scopes_of(self, name: str) -> set[str]:
        """The scopes of the keys of this name, also of those that were removed from the file."""
        return {named_scope(name), *(self._keys.scopes_of(name) if self._keys is not None else ())}

    def identify(self, headers: Mapping[str, str]) -> Caller:
        """`headers`: case-insensitive, or with names in lower case. Raises MissingKey and InvalidKey."""
        caller = self._anonymous(headers) if self._keys is None else self._owner(presented_key(headers))
        return self.with_authorization(caller, headers) if self._passes_authorization else caller

    def with_authorization(self, caller: Caller, headers: Mapping[str, str]) -> Caller:
        """The caller with the `Authorization` that the gateway gets, where it is passed on."""
        if not self._passes_authorization:
            return caller
        own = headers.get("authorization", "").encode("utf-8", "surrogateescape").decode("latin-1")  # as received
        return dataclasses.replace(caller, authorization=own)

    def caller_named(self, name: str) -> Caller:
        """The caller with this name in the keys file, or a new one with the default limits."""
        self._reload_if_changed()
        known = self._keys.named(name) if self._keys is not None else None
        return known or Caller(name, named_scope(name), self._config.requests_per_minute, self._config.max_runs_per_key)

    def _anonymous(self, headers: Mapping[str, str]) -> Caller:
        """The caller where no keys are required: each `Authorization` header has its own sessions."""
        return self._anonymous_of(scope_of(headers.get("authorization") or other_key_of(headers)))

    def _owner(self, key: str) -> Caller:
        if not key:
            raise MissingKey(NO_KEY)
        self._reload_if_changed()
        assert self._keys is not None
        caller = self._keys.find(key)
        if caller is None:
            raise InvalidKey(WRONG_KEY)
        return caller

    def callers(self) -> list[Caller]:
        """The callers of all entries; a caller with several keys comes several times."""
        self._reload_if_changed()
        return [] if self._keys is None else [*self._keys.callers()]

    def inspectors(self) -> list[KeyEntry]:
        """The entries whose keys may use the inspector."""
        self._reload_if_changed()
        return [] if self._keys is None else [*self._keys.inspectors()]

    @property
    def is_due(self) -> bool:
        """Whether it is time for `refresh` to check the keys file."""
        return bool(self._file) and time.monotonic() >= self._check_at

    async def refresh(self) -> None:
        """Reloads a keys file that has changed, in a thread. Meanwhile other requests use the previous keys."""
        self._check_at = time.monotonic() + CHECK_INTERVAL
        if self._stamp() != self._seen:
            with contextlib.suppress(KeysError):  # reported by _reload_if_changed
                await asyncio.to_thread(read_keys, self._config)
            self._check_at = 0.0
            self._reload_if_changed()

    def _reload_if_changed(self) -> None:
        """Reloads a keys file that has changed. If it is invalid, the previous keys stay."""
        if not self._file or (now := time.monotonic()) < self._check_at:
            return
        self._check_at = now + CHECK_INTERVAL
        if self._stamp() == self._seen:
            return
        try:
            self._read()
        except KeysError as error:
            log.error("%s; keeping the previous keys", error)
        else:
            log.info("keys file reloaded: %d keys", len(self._keys or ()))

    def _stamp(self) -> object:
        """Changes when the file is written or replaced."""
        with contextlib.suppress(OSError):
            now = os.stat(self._file)
            return now.st_mtime_ns, now.st_ino, now.st_dev, now.st_size
        return None

    def _read(self) -> None:
        """Replaces all keys, or raises KeysError and changes none."""
        if self._file:
            self._seen = self._stamp()  # before reading: a write during the read is noticed at the next check
        try:
            entries = [*self._fixed, *read_keys(self._config)]
        except KeysError as error:
            raise KeysError(f"--api-keys-file {self._file} cannot be used: {error}") from None
        self._keys = ApiKeys(entries)


def peer_of(request: web.BaseRequest) -> str:
    """The address of the connection's other end; `-` if the connection is lost."""
    peer = request.remote
    return UNIX_SOCKET_PEER if peer == "" else peer or "-"


def read_keys(config: Config) -> Sequence[KeyEntry]:
    """The entries of the keys file, if there is one; the last text is cached. Raises KeysError."""
    if not config.api_keys_file:
        return ()
    tokens = bool(config.jwt_issuer)
    return _parse(_text(config.api_keys_file), config.requests_per_minute, config.max_runs_per_key, tokens=tokens)


@lru_cache(1)
def _parse(text: str, requests_per_minute: int, max_runs: int, *, tokens: bool) -> Sequence[KeyEntry]:
    return parse_keys(text, requests_per_minute=requests_per_minute, max_runs=max_runs, tokens=tokens)


def _text(path: str) -> str:
    """Raises KeysError."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise KeysError(f"it is larger than {MAX_FILE_BYTES} bytes")
        return data.decode()
    except OSError as error:
        raise KeysError(error.strerror or "it cannot be read") from None
    except UnicodeDecodeError:
        raise KeysError("it is not UTF-8") from None
