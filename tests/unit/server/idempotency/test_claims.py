"""Claims of runs in a real Redis: of all processes, one holds a claim; the others see how old it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from oaicompat_proxy.core.errors import IdempotentAnswerGone, StoreUnavailable
from oaicompat_proxy.server.idempotency import claims
from oaicompat_proxy.server.idempotency.claims import Claim, RedisClaims
from oaicompat_proxy.server.sessions import redis_locks
from oaicompat_proxy.server.shared_storage import redis_client
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]


@pytest.fixture
async def holders(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[RedisClaims]]:
    """Two processes, as far as claims go."""
    monkeypatch.setattr(claims, "RENEWAL_INTERVAL", 0.02)
    monkeypatch.setattr(redis_locks, "GRACE", 0.01)
    async with redis_client.connect(own_redis.url) as first, redis_client.connect(own_redis.url) as second:
        both = [RedisClaims(each, "") for each in (first, second)]
        yield both
        for each in both:
            await each.close()


def claim_of(holder: RedisClaims, name: str = "turn", content: bytes = b"hi", scope: str = "ada") -> Claim:
    return holder.new_claim(scope, name, content)


async def until_followed(claim: Claim) -> None:
    async with asyncio.timeout(5):
        while not claim.is_followed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_ended(holder: RedisClaims, name: str) -> None:
    async with asyncio.timeout(5):
        while (found := await holder.acquire(claim_of(holder, name))) is not None and not found.has_ended:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_one_process_holds_a_claim_and_learns_who_waits(holders: list[RedisClaims]) -> None:
    a, b = holders
    mine, others = claim_of(a), claim_of(b)
    assert await a.acquire(mine) is None
    found = await b.acquire(others)
    assert found is not None
    assert (found.fingerprint, found.has_ended) == (mine.fingerprint, False)
    assert 0 <= found.age < 1
    await until_followed(mine)
    assert not others.is_followed


async def test_an_outcome_is_found_when_the_claim_has_ended(holders: list[RedisClaims]) -> None:
    a, b = holders
    mine, others = claim_of(a), claim_of(b)
    await a.acquire(mine)
    a.end(mine, b"answer", ttl=60)
    await a.close()
    found = await b.acquire(others)
    assert found is not None
    assert found.has_ended
    assert await b.find_outcome(others) == b"answer"


@pytest.mark.parametrize(("outcome", "ttl"), [(None, 60), (b"answer", 0)])
async def test_a_claim_that_is_given_up_is_free(holders: list[RedisClaims], outcome: bytes | None, ttl: float) -> None:
    a, b = holders
    mine = claim_of(a)
    await a.acquire(mine)
    a.end(mine, outcome, ttl=ttl)
    await a.close()
    assert await b.acquire(claim_of(b)) is None


async def test_a_claim_of_another_name_caller_or_gateway_is_another_one(
    holders: list[RedisClaims], own_redis: RedisServer
) -> None:
    a, b = holders
    await a.acquire(claim_of(a))
    assert await b.acquire(claim_of(b, name="other")) is None
    assert await b.acquire(claim_of(b, scope="bob")) is None
    async with redis_client.connect(own_redis.url) as redis:
        elsewhere = RedisClaims(redis, "/other")
        assert await elsewhere.acquire(claim_of(elsewhere)) is None
        await elsewhere.close()


async def test_another_request_with_the_same_name_is_distinguished(holders: list[RedisClaims]) -> None:
    a, b = holders
    await a.acquire(claim_of(a))
    others = claim_of(b, content=b"something else")
    found = await b.acquire(others)
    assert found is not None
    assert found.fingerprint != others.fingerprint


async def test_a_claim_that_redis_has_lost_is_set_again(holders: list[RedisClaims], own_redis: RedisServer) -> None:
    a, b = holders
    mine = claim_of(a)
    await a.acquire(mine)
    own_redis.flush()
    async with asyncio.timeout(5):
        while not own_redis.keys("oaicompat:run:*"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await b.acquire(claim_of(b)) is not None


async def test_a_claim_that_is_not_renewed_grows_old(
    holders: list[RedisClaims], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEWAL_INTERVAL", 60)
    a, b = holders
    await a.acquire(claim_of(a))
    await asyncio.sleep(0.3)
    found = await b.acquire(claim_of(b))
    assert found is not None
    assert found.age > 0.25


async def test_the_oldest_claims_make_room(holders: list[RedisClaims], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "MAX_CLAIMS", 2)
    a, b = holders
    for name in ("first", "second", "third"):
        mine = claim_of(a, name)
        assert await a.acquire(mine) is None
        a.end(mine, b"answer", ttl=60)
        await until_ended(b, name)
    assert await b.acquire(claim_of(b, "third")) is not None
    assert await b.acquire(claim_of(b, "first")) is None


async def test_without_redis_it_is_unavailable_and_nothing_is_left_behind(
    holders: list[RedisClaims], own_redis: RedisServer
) -> None:
    a, _ = holders
    own_redis.stop()
    with pytest.raises(StoreUnavailable):
        await a.acquire(claim_of(a))


async def test_after_a_loss_of_data_none_gets_the_claim_of_another(
    holders: list[RedisClaims], own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim of a run that goes on, and that of one that has ended, whose outcome is gone."""
    monkeypatch.setattr(redis_locks, "GRACE", 0.5)
    a, b = holders
    running, ended = claim_of(a, "running"), claim_of(a, "ended")
    for each in (running, ended):
        assert await a.acquire(each) is None
    a.end(ended, b"outcome", ttl=60)
    await until_ended(b, "ended")
    own_redis.flush()
    found = await b.acquire(claim_of(b, "running"))
    assert found is not None
    assert not found.has_ended
    found = await b.acquire(claim_of(b, "ended"))
    assert found is not None
    assert found.has_ended
    assert await b.find_outcome(claim_of(b, "ended")) is None
    assert await b.acquire(claim_of(b, "new")) is None


@pytest.mark.parametrize(
    "value", [b"", b"\xff", b"running", b"running ab", b"done ab cd", b"ended ab cd ef", b"ended  x y"]
)
async def test_a_damaged_claim_is_granted_to_nobody(
    holders: list[RedisClaims], own_redis: RedisServer, value: bytes
) -> None:
    a, b = holders
    mine = claim_of(a)
    assert await a.acquire(mine) is None
    a.end(mine, b"outcome", ttl=60)
    await until_ended(b, "turn")
    async with redis_client.connect(own_redis.url) as redis:
        await redis.set(mine.key, value)
    for each in holders:
        with pytest.raises(IdempotentAnswerGone):
            await each.acquire(claim_of(each))
