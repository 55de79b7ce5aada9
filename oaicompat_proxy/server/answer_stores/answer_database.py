"""Stored answers in an SQLite file (setting `response_db`): the processes of one machine share it, also over restarts.

All SQLite calls run in one thread, so the event loop does not wait for the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ...config.settings import ConfigError
from ...core.errors import StoreUnavailable
from ..shared_storage.checksums import add_checksum, check
from .entry_keys import entry_key, rest_of, scope_key, scope_keys
from .local_entries import LocalEntries
from .memory_answers import MemoryAnswers
from .stored_answers import Bounds

log = logging.getLogger(__name__)

Result = TypeVar("Result")

LOCK_WAIT = 2.0
"""Seconds for which a write waits for the lock of another process."""

SHORT_LOCK_WAIT = 0.02
"""The same after a write has waited in vain: one thread makes all calls, so each of them waits for those before it."""

SHORT_WAIT_SECONDS = 5.0
"""Seconds of short waits after a write that waited in vain. A successful write ends them earlier."""

MAX_BYTES = 1024 * 1024 * 1024
"""Bytes of all entries of one caller."""

MAX_EVICTED = 1000
"""Entries that one write may delete to make room, so that its time is bounded."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, scope TEXT NOT NULL, added REAL NOT NULL, until REAL NOT NULL, value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_by_age ON entries (scope, added);
CREATE INDEX IF NOT EXISTS entries_by_end ON entries (until);
CREATE TABLE IF NOT EXISTS totals (scope TEXT PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TRIGGER IF NOT EXISTS count_added AFTER INSERT ON entries BEGIN
    INSERT INTO totals VALUES (new.scope, 1, length(new.value))
    ON CONFLICT DO UPDATE SET entries = entries + 1, bytes = bytes + length(new.value);
END;
CREATE TRIGGER IF NOT EXISTS count_changed AFTER UPDATE OF value ON entries BEGIN
    UPDATE totals SET bytes = bytes + length(new.value) - length(old.value) WHERE scope = new.scope;
END;
CREATE TRIGGER IF NOT EXISTS count_deleted AFTER DELETE ON entries BEGIN
    UPDATE totals SET entries = entries - 1, bytes = bytes - length(old.value) WHERE scope = old.scope;
    DELETE FROM totals WHERE scope = old.scope AND entries = 0;
END;
"""
"""`totals` has the number and bytes of each caller's entries, so that a write need not count them."""

_PUT = """
INSERT INTO entries (key, scope, added, until, value) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET added = excluded.added, until = excluded.until, value = excluded.value
"""


_ADD_NEW = "INSERT INTO entries (key, scope, added, until, value) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_REPLACE = "UPDATE entries SET added = ?, until = ?, value = ? WHERE key = ? AND until >= ? AND value = ?"


class AnswerDatabase:
    """The store in one file. A caller's oldest entries are evicted when its bounds are exceeded."""

    def __init__(
        self, path: Path, bounds: Bounds, *, max_bytes: int = MAX_BYTES, local: MemoryAnswers | None = None
    ) -> None:
        """`max_bytes`: bytes of all entries of one caller. `local`: takes what the file cannot, on a full disk.

        Raises ConfigError for a file that cannot be used.
        """
        self._path = path
        self._ttl = bounds.ttl
        self._most = bounds.entries
        self._max_bytes = max_bytes
        self._local = LocalEntries(local)
        self._thread = ThreadPoolExecutor(1, "answer database")
        # state
        self._connection: sqlite3.Connection | None = None
        self._lock_wait = LOCK_WAIT
        self._short_until = 0.0
        """Monotonic time until which writes wait a short time."""
        try:
            path.touch(mode=0o600)  # prompts are in it
            with contextlib.closing(_connect(path)) as connection:  # not kept: a fork must not share a connection
                connection.executescript(_SCHEMA)
        except OSError as error:
            raise ConfigError(f"--response-db cannot use {path}: {error.strerror or error}") from None
        except sqlite3.Error as error:
            raise ConfigError(f"--response-db cannot use {path}: {error}") from None

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        try:
            await self._do(lambda connection: self._put(connection, scope, entries, self._ttl if ttl is None else ttl))
        except StoreUnavailable as error:
            log.warning("an answer could not be stored in the file of --response-db: %s", error.cause)
            await self._local.add(scope, entries, ttl=ttl)
        else:
            await self._local.remove_older(scope, entries)

    async def add_new(self, scope: str, name: str, value: bytes) -> bytes | None:
        """Adds an entry and returns None, or returns the value of an existing entry, which is empty if it is damaged.

        Raises StoreUnavailable.
        """
        key = entry_key(scope, name)

        def work(connection: sqlite3.Connection) -> bytes | None:
            expired = "DELETE FROM entries WHERE key = ? AND until < ?"
            connection.execute(expired, (key, time.time()))  # a write first: it locks out other processes
            row = connection.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
            if row is not None:
                return check(key, row[0]) or b""
            self._put(connection, scope, {name: value}, self._ttl)
            return None

        return await self._do(work)

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        if is_local := await self._local.holds(scope, name, old):
            old = None
        done = await self._do(lambda connection: self._replace(connection, scope, name, old, new))
        if done and is_local:
            await self._local.delete(scope, [name])
        return done

    async def find(self, scope: str, names: Iterable[str], *, max_bytes: int) -> dict[str, bytes]:
        names = list(names)
        found = await self._local.find(scope, names, max_bytes=max_bytes)
        wanted = [name for name in names if name not in found]
        if not wanted:
            return found
        rest = max_bytes - sum(map(len, found.values()))
        return found | await self._do(lambda connection: _find(connection, scope, wanted, rest))

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        names = list(names)
        await self._local.delete(scope, names)
        keys = [(entry_key(scope, name),) for name in names]
        await self._do(lambda connection: connection.executemany("DELETE FROM entries WHERE key = ?", keys))

    async def delete_all(self, scope: str, *, with_users: bool = False) -> int:
        def delete(connection: sqlite3.Connection) -> int:
            keys = _range_of(scope_keys(scope, with_users=with_users))
            return connection.execute("DELETE FROM entries WHERE scope BETWEEN ? AND ?", keys).rowcount

        deleted = await self._local.delete_all(scope, with_users=with_users) + await self._do(delete)
        await self._do(_write_back)
        return deleted

    async def count(self, scope: str, *, with_users: bool = False) -> int:
        def count(connection: sqlite3.Connection) -> int:
            query = "SELECT count(*) FROM entries WHERE scope BETWEEN ? AND ? AND until >= ?"
            keys = _range_of(scope_keys(scope, with_users=with_users))
            return int(connection.execute(query, (*keys, time.time())).fetchone()[0])

        return await self._local.count(scope, with_users=with_users) + await self._do(count)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """One transaction. Raises StoreUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    def _transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with _mapped_errors():
            if self._connection is None:
                self._connection, self._lock_wait = _connect(self._path), LOCK_WAIT
            connection = self._connection
            self._limit_lock_wait(connection)
            try:
                with connection:
                    done = work(connection)
                    has_written = connection.in_transaction
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                    self._short_until = time.monotonic() + SHORT_WAIT_SECONDS
                raise
            if has_written:
                self._short_until = 0.0
            return done

    def _limit_lock_wait(self, connection: sqlite3.Connection) -> None:
        wait = SHORT_LOCK_WAIT if time.monotonic() < self._short_until else LOCK_WAIT
        if wait != self._lock_wait:
            connection.execute(f"PRAGMA busy_timeout = {wait * 1000:.0f}")
            self._lock_wait = wait

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _put(self, connection: sqlite3.Connection, scope: str, entries: Mapping[str, bytes], ttl: float) -> None:
        now, owner = time.time(), scope_key(scope)
        keyed = {entry_key(scope, name): value for name, value in entries.items()}
        rows = [(key, owner, now, now + ttl, add_checksum(key, value)) for key, value in keyed.items()]
        connection.executemany(_PUT, rows)
        self._make_room(connection, owner, now)

    def _replace(self, connection: sqlite3.Connection, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        now, owner, key = time.time(), scope_key(scope), entry_key(scope, name)
        until, new = now + self._ttl, add_checksum(key, new)
        if old is None:
            changed = connection.execute(_ADD_NEW, (key, owner, now, until, new)).rowcount
        else:
            changed = connection.execute(_REPLACE, (now, until, new, key, now, add_checksum(key, old))).rowcount
        self._make_room(connection, owner, now)
        return bool(changed)

    def _make_room(self, connection: sqlite3.Connection, owner: str, now: float) -> None:
        """Deletes expired entries, and the oldest entries of an owner above its bounds."""
        connection.execute(
            "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE until < ? LIMIT ?)", (now, MAX_EVICTED)
        )
        for _ in range(MAX_EVICTED):
            total = connection.execute("SELECT entries, bytes FROM totals WHERE scope = ?", (owner,)).fetchone()
            if total is None or (total[0] <= self._most and total[1] <= self._max_bytes):
                return
            connection.execute(
                "DELETE FROM entries WHERE key = (SELECT key FROM entries WHERE scope = ? ORDER BY added LIMIT 1)",
                (owner,),
            )


def _range_of(prefix: str) -> tuple[str, str]:
    """The bounds of all hexadecimal texts with this prefix."""
    return prefix, f"{prefix}g"


def _find(connection: sqlite3.Connection, scope: str, names: Iterable[str], max_bytes: int) -> dict[str, bytes]:
    now = time.time()
    found: dict[str, bytes] = {}
    for name in names:
        key, query = entry_key(scope, name), "SELECT value FROM entries WHERE key = ? AND until >= ?"
        row = connection.execute(query, (key, now)).fetchone()
        if row is not None and (value := check(key, row[0])) is not None:
            max_bytes = rest_of(max_bytes, len(value))
            found[name] = value
    return found


def _connect(path: Path) -> sqlite3.Connection:
    """With these settings a power failure may lose the latest writes, but does not damage the file."""
    connection = sqlite3.connect(path, timeout=LOCK_WAIT, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")  # overwrites deleted entries, which may hold prompts
    return connection


def _write_back(connection: sqlite3.Connection) -> None:
    """Empties the write-ahead log, so that it keeps no copy of deleted entries."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable(
            "What this server stores of earlier answers cannot be reached; try again, or send the whole conversation."
        ) from error
