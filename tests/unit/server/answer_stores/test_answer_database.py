import asyncio
import contextlib
import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oaicompat_proxy.config.settings import ConfigError
from oaicompat_proxy.core.errors import InvalidRequest, StoreUnavailable
from oaicompat_proxy.server.answer_stores import answer_database
from oaicompat_proxy.server.answer_stores.answer_database import AnswerDatabase
from oaicompat_proxy.server.answer_stores.stored_answers import ENTRIES_OF_ANSWER, Bounds


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[AnswerDatabase]:
    opened = AnswerDatabase(tmp_path / "answers.db", Bounds(3, 60), max_bytes=1000)
    yield opened
    await opened.close()


async def test_entries_are_found_by_their_caller_alone(database: AnswerDatabase) -> None:
    await database.add("alice", {"a": b"\x00\xff", "b": b""})
    await database.add("alice", {"a": b"newer"})
    assert await database.find("alice", ["a", "b", "c"], max_bytes=100) == {"a": b"newer", "b": b""}
    assert await database.find("bob", ["a"], max_bytes=100) == {}


async def test_an_entry_is_new_once(database: AnswerDatabase) -> None:
    assert await database.add_new("alice", "a", b"1") is None
    assert await database.add_new("alice", "a", b"2") == b"1"
    assert await database.add_new("bob", "a", b"2") is None
    await database.add("alice", {"a": b"3"}, ttl=-1)
    assert await database.add_new("alice", "a", b"4") is None
    assert await database.find("alice", ["a"], max_bytes=100) == {"a": b"4"}


async def test_deleted_entries_are_gone(database: AnswerDatabase) -> None:
    await database.add("alice", {"a": b"1", "b": b"2", "c": b"3"})
    await database.add("bob", {"a": b"4"})
    await database.delete("alice", ["a", "x"])
    assert await database.find("alice", ["a", "b"], max_bytes=100) == {"b": b"2"}
    assert await database.delete_all("alice") == 2
    assert await database.find("alice", ["b", "c"], max_bytes=100) == {}
    assert await database.find("bob", ["a"], max_bytes=100) == {"a": b"4"}


async def test_entries_end(database: AnswerDatabase) -> None:
    await database.add("alice", {"a": b"1"}, ttl=-1)
    assert await database.find("alice", ["a"], max_bytes=100) == {}


async def test_the_oldest_of_a_caller_give_way(database: AnswerDatabase) -> None:
    await database.add("bob", {"kept": b"x"})
    most = 3 * ENTRIES_OF_ANSWER
    for number in range(most + 2):
        await database.add("alice", {str(number): b"x"})
    found = await database.find("alice", map(str, range(most + 2)), max_bytes=100)
    assert list(found) == [str(number) for number in range(2, most + 2)]
    await database.add("alice", {"long": b"x" * 974})
    assert set(await database.find("alice", ["long", *map(str, range(9))], max_bytes=2000)) == {"long", "6", "7"}
    assert await database.find("bob", ["kept"], max_bytes=100) == {"kept": b"x"}


async def test_what_is_read_is_bounded(database: AnswerDatabase) -> None:
    await database.add("alice", {"a": b"x" * 100, "b": b"y" * 100})
    with pytest.raises(InvalidRequest):
        await database.find("alice", ["a", "b"], max_bytes=199)


async def test_other_processes_see_the_same(database: AnswerDatabase, tmp_path: Path) -> None:
    other = AnswerDatabase(tmp_path / "answers.db", Bounds(3, 60))
    try:
        await asyncio.gather(*(each.add("alice", {"a": b"1"}) for each in (database, other) for _ in range(50)))
        await other.add("alice", {"b": b"2"})
        assert await database.find("alice", ["a", "b"], max_bytes=100) == {"a": b"1", "b": b"2"}
    finally:
        await other.close()


async def test_only_its_owner_may_read_the_file(database: AnswerDatabase, tmp_path: Path) -> None:
    await database.add("alice", {"a": b"1"})
    for file in files(tmp_path):
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file


async def test_those_who_wait_for_a_locked_file_wait_once(
    database: AnswerDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = 0.2
    monkeypatch.setattr(answer_database, "LOCK_WAIT", wait)
    with contextlib.closing(sqlite3.connect(tmp_path / "answers.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        refused = [database.replace("alice", str(number), None, b"1") for number in range(20)]
        errors = await asyncio.gather(*refused, return_exceptions=True)
        assert time.monotonic() - began < 20 * wait / 2
        assert all(isinstance(error, StoreUnavailable) for error in errors)
        assert await database.find("alice", ["0"], max_bytes=100) == {}, "reading needs no lock"
        other.execute("ROLLBACK")
    assert await database.replace("alice", "a", None, b"1")


async def test_after_a_successful_write_the_next_waits_again(
    database: AnswerDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_database, "LOCK_WAIT", 0.05)
    with contextlib.closing(sqlite3.connect(tmp_path / "answers.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await database.replace("alice", "a", None, b"1")
        other.execute("ROLLBACK")
        assert await database.replace("alice", "a", None, b"1")
        monkeypatch.setattr(answer_database, "LOCK_WAIT", 60)
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.ensure_future(database.replace("alice", "b", None, b"1"))
        done, _ = await asyncio.wait([writing], timeout=10 * answer_database.SHORT_LOCK_WAIT)
        assert not done
        other.execute("ROLLBACK")
        assert await writing


@pytest.mark.slow
def test_a_file_that_cannot_be_used_is_a_setting_that_cannot(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no database at all" * 1000)
    for path in (tmp_path / "text", tmp_path / "none" / "there", tmp_path):
        with pytest.raises(ConfigError, match="--response-db"):
            AnswerDatabase(path, Bounds(3, 60))


@pytest.mark.slow
async def test_a_broken_file_fails_alone_what_needs_it(
    database: AnswerDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in files(tmp_path):
        file.write_bytes(b"broken" * 10_000)
    await database.add("alice", {"a": b"1"})
    assert "could not be stored in the file of --response-db: file is not a database" in caplog.text
    with pytest.raises(StoreUnavailable):
        await database.find("alice", ["a"], max_bytes=100)


async def test_an_entry_is_replaced_if_it_is_what_was_read(database: AnswerDatabase) -> None:
    assert await database.replace("alice", "a", None, b"1")
    assert not await database.replace("alice", "a", None, b"2")
    assert not await database.replace("alice", "a", b"0", b"2")
    assert await database.replace("alice", "a", b"1", b"2")
    assert not await database.replace("bob", "a", b"2", b"3")
    assert await database.find("alice", ["a"], max_bytes=100) == {"a": b"2"}
    assert await database.count("alice") == 1
    for number in range(20):
        await database.replace("alice", str(number), None, b"x")
    assert await database.count("alice") == 3 * ENTRIES_OF_ANSWER
