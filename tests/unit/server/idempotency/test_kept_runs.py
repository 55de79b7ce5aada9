"""Claims in Redis of an owner; wire/test_forget deletes the answers in memory, over a socket."""

from __future__ import annotations

from oaicompat_proxy.core.caller import Owner, scope_of, user_scope
from oaicompat_proxy.server.idempotency.claims import RedisClaims
from oaicompat_proxy.server.idempotency.kept_runs import ClaimData
from oaicompat_proxy.server.shared_storage.redis_client import connect
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]

KEY = scope_of("Bearer key")
ADA, OTHER = user_scope(KEY, "ada"), scope_of("Bearer other")


async def test_ended_claims_are_deleted_and_running_ones_stay(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    claims = RedisClaims(redis, "")
    kept = ClaimData(claims)
    ended = [claims.new_claim(scope, "ended", b"f") for scope in (KEY, ADA, OTHER)]
    running = claims.new_claim(ADA, "running", b"f")
    for each in (*ended, running):
        while await claims.acquire(each) is not None:
            pass
    for each in ended:
        claims.end(each, b"outcome", ttl=60)
    await claims.close()
    assert await kept.count(Owner(ADA)) == 1
    assert await kept.delete(Owner(KEY, with_users=True)) == 2
    assert await kept.count(Owner(KEY, with_users=True)) == 0
    assert await claims.find_outcome(ended[2]) == b"outcome"
    others = RedisClaims(redis, "")
    assert await others.acquire(others.new_claim(ADA, "running", b"f")) is not None, "it is not run twice"
    assert await others.acquire(others.new_claim(ADA, "ended", b"f")) is None
    await others.close()
    await redis.aclose()
