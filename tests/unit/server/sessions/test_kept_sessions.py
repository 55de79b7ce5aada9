"""Sessions of an owner, in memory and in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from oaicompat_proxy.core.caller import Owner, owner_mark, scope_of, user_scope
from oaicompat_proxy.server.sessions.fingerprints import name_fingerprint, point_fingerprint
from oaicompat_proxy.server.sessions.kept_sessions import SessionData
from oaicompat_proxy.server.sessions.named_sessions import MemoryNames, RedisNames, SessionNames
from oaicompat_proxy.server.sessions.store import MemoryStore, RedisStore, SessionStore
from oaicompat_proxy.server.shared_storage.redis_client import connect
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]

KEY = scope_of("Bearer key")
ADA, BOB, OTHER = user_scope(KEY, "ada"), user_scope(KEY, "bob"), scope_of("Bearer other")

Stores = tuple[SessionStore, SessionNames]


@pytest.fixture(params=["memory", "redis"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield MemoryStore(ttl=60, size=100), MemoryNames(size=100)
        return
    server: RedisServer = request.getfixturevalue("own_redis")
    redis = connect(server.url)
    yield RedisStore(redis, "space", ttl=60, size=100), RedisNames(redis, "space", size=100)
    await redis.aclose()


async def test_of_a_user_and_of_a_key_with_its_users(stores: Stores) -> None:
    store, names = stores
    closed: list[str] = []
    kept = SessionData(store, names, closed.append)
    for scope in (KEY, ADA, BOB, OTHER):
        await store.put(point_fingerprint(b"s", scope, "m", "", "p"), f"found {scope}")
        await store.put(point_fingerprint(b"s", scope, "m", "", "q"), f"leased {scope}")
        assert await store.claim(point_fingerprint(b"s", scope, "m", "", "q"))
        await names.set_answered(owner_mark(scope) + f"named {scope}", "f")
        await names.set_sends_all(name_fingerprint(b"s", scope, "n"))
    assert [await kept.count(Owner(each)) for each in (KEY, ADA, BOB, OTHER)] == [2] * 4
    assert await kept.count(Owner(KEY, with_users=True)) == 6
    assert await kept.delete(Owner(ADA)) == 2
    assert sorted(closed) == [f"found {ADA}", f"named {ADA}"]
    assert await names.sends_all(name_fingerprint(b"s", BOB, "n"))
    assert await kept.delete(Owner(KEY, with_users=True)) == 4
    assert sorted(closed) == sorted(f"{what} {scope}" for what in ("found", "named") for scope in (KEY, ADA, BOB))
    assert [await kept.count(Owner(each, with_users=True)) for each in (KEY, OTHER)] == [0, 2]
    known = [await names.sends_all(name_fingerprint(b"s", each, "n")) for each in (KEY, ADA, BOB, OTHER)]
    assert known == [False, False, False, True]
