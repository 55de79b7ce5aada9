"""The issuer's keys: how often they are fetched, how long they hold, and how long a request waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.errors import IssuerUnavailable
from oaicompat_proxy.server.single_sign_on import issuer_keys
from oaicompat_proxy.server.single_sign_on.issuer_keys import IssuerKeys
from oaicompat_proxy.server.single_sign_on.tokens import Head
from tests.support.issuer import CONFIGURATION, JWKS, Issuer, SigningKey, serving_issuer, sso_settings

ONE, TWO = Head("RS256", "k1"), Head("RS256", "k2")
SECOND = SigningKey("k2")


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with serving_issuer() as there:
        yield there


def keys_of(issuer: Issuer, **more: Any) -> IssuerKeys:
    return IssuerKeys(Config(demo=True, **sso_settings(issuer, **more)))


async def knows(keys: IssuerKeys, head: Head = ONE) -> bool:
    return await keys.find(head) is not None


async def until_known(keys: IssuerKeys, head: Head) -> None:
    """A fetch in the background has no event that others could wait for."""
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(IssuerUnavailable):
                if await knows(keys, head):
                    return
            await asyncio.sleep(0.01)


async def test_the_keys_are_fetched_once(issuer: Issuer) -> None:
    keys = keys_of(issuer)
    assert all(await asyncio.gather(*(knows(keys) for _ in range(20))))
    assert issuer.fetches == {CONFIGURATION: 1, JWKS: 1}


async def test_a_new_key_is_found_at_once_and_invented_ones_cost_one_fetch_a_minute(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_of(issuer)
    await keys.find(ONE)
    issuer.keys.append(SECOND.jwk())
    assert await knows(keys, TWO)
    for number in range(20):
        assert not await knows(keys, Head("RS256", f"x{number}"))
    assert issuer.fetches[JWKS] == 2
    monkeypatch.setattr(issuer_keys, "UNKNOWN_KEY_INTERVAL", 0.0)
    assert not await knows(keys, Head("RS256", "x"))
    assert issuer.fetches[JWKS] == 3


def test_a_key_that_left_is_refused_within_ten_minutes() -> None:
    assert issuer_keys.REFRESH_AGE < issuer_keys.MAX_AGE
    assert issuer_keys.MAX_AGE + issuer_keys.FETCH_TIMEOUT < 600
    assert issuer_keys.UNKNOWN_KEY_INTERVAL == 60
    assert issuer_keys.MAX_WAIT <= 2


async def test_old_keys_are_refreshed_while_they_are_used(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_of(issuer)
    await keys.find(ONE)
    issuer.keys = [SECOND.jwk()]
    issuer.hangs.clear()
    monkeypatch.setattr(issuer_keys, "REFRESH_AGE", 0.0)
    assert await knows(keys), "the request does not wait"
    issuer.hangs.set()
    await until_known(keys, TWO)
    assert not await knows(keys, ONE)
    await keys.close()


async def test_very_old_keys_are_not_used_before_they_are_refreshed(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_of(issuer)
    await keys.find(ONE)
    issuer.keys = []
    monkeypatch.setattr(issuer_keys, "REFRESH_AGE", 0.0)
    monkeypatch.setattr(issuer_keys, "MAX_AGE", 0.0)
    assert not await knows(keys)


@pytest.mark.parametrize("how", ["status 503", "no JSON", "too long", "nobody listens"])
async def test_the_last_keys_hold_while_there_are_no_others(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    keys = keys_of(issuer, jwt_keys_ttl=3600.0)
    await keys.find(ONE)
    monkeypatch.setattr(issuer_keys, "REFRESH_AGE", 0.0)
    monkeypatch.setattr(issuer_keys, "MAX_AGE", 0.0)
    issuer.is_down = how == "status 503"
    issuer.jwks = {"no JSON": b"<html>", "too long": b" " * (issuer_keys.MAX_DOCUMENT + 1)}.get(how)
    if how == "nobody listens":
        monkeypatch.setattr(keys, "_address", "http://127.0.0.1:1/jwks")
    with caplog.at_level(logging.WARNING):
        assert await knows(keys)
        before = issuer.fetches.copy()
        assert await knows(keys)
    assert issuer.fetches == before, "the next attempt comes later"
    assert "cannot be fetched" in caplog.text
    await keys.close()


async def test_the_last_keys_hold_for_a_bounded_time(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_of(issuer, jwt_keys_ttl=0.0)
    await keys.find(ONE)
    issuer.is_down = True
    monkeypatch.setattr(issuer_keys, "REFRESH_AGE", 0.0)
    monkeypatch.setattr(issuer_keys, "MAX_AGE", 0.0)
    for _ in range(2):
        with pytest.raises(IssuerUnavailable):
            await keys.find(ONE)


async def test_no_request_waits_longer_than_its_time(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_keys, "MAX_WAIT", 0.2)
    keys = keys_of(issuer)
    issuer.hangs.clear()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(IssuerUnavailable):
            await keys.find(ONE)
        assert time.monotonic() - began < 2
    issuer.hangs.set()
    await until_known(keys, ONE)
    assert issuer.fetches[JWKS] == 1


@pytest.mark.parametrize(
    "configuration",
    [{"issuer": "https://evil.example"}, {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": None}, {"jwks_uri": ["x"]}],
)
async def test_a_configuration_of_something_else_is_not_used(issuer: Issuer, configuration: dict[str, Any]) -> None:
    issuer.configuration = configuration
    with pytest.raises(IssuerUnavailable):
        await keys_of(issuer).find(ONE)
    assert issuer.fetches[JWKS] == 0


async def test_the_keys_may_be_at_a_given_address(issuer: Issuer) -> None:
    assert await knows(keys_of(issuer, jwt_jwks=f"{issuer.url}{JWKS}"))
    assert issuer.fetches == {JWKS: 1}


async def test_no_keys_are_an_answer(issuer: Issuer) -> None:
    issuer.jwks = json.dumps({"keys": []}).encode()
    assert not await knows(keys_of(issuer))
