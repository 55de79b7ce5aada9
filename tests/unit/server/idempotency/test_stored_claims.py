"""Claims in a file that two processes share; unit/server/idempotency/test_claimed_runs restarts a proxy with one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oaicompat_proxy.server.answer_stores.answer_database import AnswerDatabase
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds
from oaicompat_proxy.server.idempotency.claims import HOLDER_TIMEOUT, Claim
from oaicompat_proxy.server.idempotency.process_life import ProcessLife
from oaicompat_proxy.server.idempotency.stored_claims import StoredClaims, claims_of


class Process:
    def __init__(self, path: Path) -> None:
        self.file = AnswerDatabase(path, Bounds(100, 60))
        self.life = ProcessLife(self.file)
        self.claims = StoredClaims(self.file, self.life, "")

    def claim(self, content: bytes = b"hi", scope: str = "ada", answer_id: str = "") -> Claim:
        return self.claims.new_claim(scope, "key", content, answer_id)


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[list[Process]]:
    both = [Process(tmp_path / "responses.db") for _ in "ab"]
    yield both
    for each in both:
        await each.claims.close()
        await each.life.end()
        await each.file.close()


async def test_one_of_many_who_ask_at_once_gets_a_claim(processes: list[Process]) -> None:
    found = await asyncio.gather(*(each.claims.acquire(each.claim()) for each in processes * 5))
    assert found.count(None) == 1
    assert all(each is None or (not each.has_ended and each.age == 0) for each in found)
    assert await processes[0].claims.acquire(processes[0].claim(scope="bob")) is None


async def test_another_one_learns_whose_it_is_and_what_came_of_it(processes: list[Process]) -> None:
    a, b = processes
    mine = a.claim(b"hi", answer_id="resp_1")
    assert await a.claims.acquire(mine) is None
    others = b.claim(b"other")
    found = await b.claims.acquire(others)
    assert found is not None
    assert (found.fingerprint, found.answer_id, found.has_ended) == (mine.fingerprint, "resp_1", False)
    assert await b.claims.find_outcome(others) is None
    a.claims.end(mine, b"outcome", ttl=60)
    await a.claims.close()
    found = await b.claims.acquire(others)
    assert found is not None
    assert found.has_ended
    assert await b.claims.find_outcome(others) == b"outcome"
    assert await b.file.delete_all(claims_of("ada")) == 2, "what is forgotten of a caller"
    assert await b.claims.acquire(others) is None


async def test_a_run_that_may_be_repeated_leaves_no_claim(processes: list[Process]) -> None:
    a, b = processes
    mine = a.claim()
    await a.claims.acquire(mine)
    a.claims.end(mine, None, ttl=60)
    await a.claims.close()
    assert await b.claims.acquire(b.claim()) is None


async def test_the_claim_of_a_dead_process_stays_and_is_old(processes: list[Process]) -> None:
    a, b = processes
    await a.claims.acquire(a.claim())
    await a.life.end()  # as if its heartbeat had expired
    found = await b.claims.acquire(b.claim())
    assert found is not None
    assert found.age > HOLDER_TIMEOUT


def test_only_what_a_client_asked_for_is_claimed(tmp_path: Path) -> None:
    claims = Process(tmp_path / "responses.db").claims
    assert claims.covers(has_client_key=True)
    assert not claims.covers(has_client_key=False)
