"""Entries that a store could not take are here until it takes newer ones."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oaicompat_proxy.core.errors import StoreUnavailable
from oaicompat_proxy.server.answer_stores import answer_database
from oaicompat_proxy.server.answer_stores.answer_database import AnswerDatabase
from oaicompat_proxy.server.answer_stores.local_entries import LocalEntries
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds
from tests.support.stored_answers import small_memory


@pytest.fixture
async def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AnswerDatabase]:
    monkeypatch.setattr(answer_database, "LOCK_WAIT", 0.01)
    opened = AnswerDatabase(tmp_path / "answers.db", Bounds(10, 60), local=small_memory())
    yield opened
    await opened.close()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A file that takes no writes, as on a full disk."""
    with contextlib.closing(sqlite3.connect(folder / "answers.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_what_a_file_does_not_take_is_found_here(database: AnswerDatabase, tmp_path: Path) -> None:
    await database.add("alice", {"a": b"queued", "b": b"input"})
    with locked(tmp_path):
        await database.add("alice", {"a": b"completed"})
        assert await database.find("alice", ["a", "b"], max_bytes=100) == {"a": b"completed", "b": b"input"}
        assert await database.find("bob", ["a"], max_bytes=100) == {}
    assert await database.find("alice", ["a"], max_bytes=100) == {"a": b"completed"}


async def test_what_the_file_takes_later_is_newer(database: AnswerDatabase, tmp_path: Path) -> None:
    with locked(tmp_path):
        await database.add("alice", {"a": b"queued"})
    await database.add("alice", {"a": b"completed"})
    assert await database.find("alice", ["a"], max_bytes=100) == {"a": b"completed"}
    assert await database.count("alice") == 1


async def test_an_entry_is_changed_in_the_file_if_it_is_here(database: AnswerDatabase, tmp_path: Path) -> None:
    with locked(tmp_path):
        await database.add("alice", {"a": b"1"})
        with pytest.raises(StoreUnavailable):
            await database.replace("alice", "a", b"1", b"2")
    assert not await database.replace("alice", "a", b"0", b"2")
    assert await database.replace("alice", "a", b"1", b"2")
    assert await database.find("alice", ["a"], max_bytes=100) == {"a": b"2"}


async def test_they_are_counted_and_deleted_with_the_others(database: AnswerDatabase, tmp_path: Path) -> None:
    await database.add("alice", {"a": b"1", "b": b"2"})
    with locked(tmp_path):
        await database.add("alice", {"c": b"3", "d": b"4"})
    assert await database.count("alice") == 4
    await database.delete("alice", ["a", "c"])
    assert await database.count("alice") == 2
    assert await database.delete_all("alice") == 2
    assert await database.find("alice", ["b", "d"], max_bytes=100) == {}


async def test_without_a_memory_nothing_is_here() -> None:
    local = LocalEntries(None)
    await local.add("alice", {"a": b"1"}, ttl=None)
    assert await local.find("alice", ["a"], max_bytes=100) == {}
    assert not await local.holds("alice", "a", None)
