"""The issuer's keys: how often they are fetched, how long they hold, and how long a request waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from oaicompat_proxy.core.errors import IssuerUnavailable
from oaicompat_proxy.server.single_sign_on import issuer_keys
from oaicompat_proxy.server.single_sign_on.issuer_keys import IssuerKeys, Issuers
from oaicompat_proxy.server.single_sign_on.tokens import MAX_KEYS, Head
from tests.support.issuer import CONFIGURATION, JWKS, Issuer, SigningKey, serving_issuer

ONE, TWO = Head("RS256", "k1"), Head("RS256", "k2")
SECOND = SigningKey("k2")


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with serving_issuer() as there:
        yield there


HOUR = 3600.0


def keys_of(issuer: Issuer) -> IssuerKeys:
    return IssuerKeys(issuer.url)


async def knows(keys: IssuerKeys, head: Head = ONE) -> bool:
    return await keys.find(head, ttl=HOUR) is not None


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


async def test_unknown_key_ids_cost_one_fetch_a_minute(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_of(issuer)
    await keys.find(ONE, ttl=HOUR)
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
    await keys.find(ONE, ttl=HOUR)
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
    await keys.find(ONE, ttl=HOUR)
    issuer.keys = []
    monkeypatch.setattr(issuer_keys, "REFRESH_AGE", 0.0)
    monkeypatch.setattr(issuer_keys, "MAX_AGE", 0.0)
    assert not await knows(keys)


@pytest.mark.parametrize("how", ["status 503", "no JSON", "too long", "nobody listens"])
async def test_the_last_keys_hold_while_there_are_no_others(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    keys = keys_of(issuer)
    await keys.find(ONE, ttl=HOUR)
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
    keys = keys_of(issuer)
    await keys.find(ONE, ttl=HOUR)
    issuer.is_down = True
    monkeypatch.setattr(issuer_keys, "REFRESH_AGE", 0.0)
    monkeypatch.setattr(issuer_keys, "MAX_AGE", 0.0)
    for _ in range(2):
        with pytest.raises(IssuerUnavailable):
            await keys.find(ONE, ttl=0.0)


async def test_no_request_waits_longer_than_its_time(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_keys, "MAX_WAIT", 0.2)
    keys = keys_of(issuer)
    issuer.hangs.clear()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(IssuerUnavailable):
            await keys.find(ONE, ttl=HOUR)
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
        await keys_of(issuer).find(ONE, ttl=HOUR)
    assert issuer.fetches[JWKS] == 0


async def test_the_keys_may_be_at_a_given_address(issuer: Issuer) -> None:
    assert await knows(IssuerKeys(issuer.url, f"{issuer.url}{JWKS}"))
    assert issuer.fetches == {JWKS: 1}


async def test_no_keys_are_an_answer(issuer: Issuer) -> None:
    issuer.jwks = json.dumps({"keys": []}).encode()
    assert not await knows(keys_of(issuer))


async def test_nobody_waits_for_two_fetches(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old keys are being fetched when the request comes, and then again, since its key is not among them."""
    monkeypatch.setattr(issuer_keys, "MAX_WAIT", 0.3)
    keys = keys_of(issuer)
    await keys.find(ONE, ttl=HOUR)
    monkeypatch.setattr(issuer_keys, "MAX_AGE", 0.0)
    monkeypatch.setattr(issuer_keys, "REFRESH_AGE", 0.0)
    issuer.hangs.clear()
    began = time.monotonic()
    first = asyncio.create_task(keys.find(TWO, ttl=HOUR))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.2, issuer.hangs.set)
    asyncio.get_running_loop().call_later(0.25, issuer.hangs.clear)
    assert await keys.find(TWO, ttl=HOUR) is None
    assert time.monotonic() - began < 0.5
    await first
    await keys.close()


ODD = [
    ("crv", ["P-256"]),
    ("alg", ["RS256"]),
    ("alg", {}),
    ("key_ops", 5),
    ("key_ops", None),
    ("kty", ["RSA"]),
    ("use", ["sig"]),
    ("n", 5),
    ("n", ""),
    ("e", "AQ"),  # 1: every text would be its own signature
    ("e", []),
    ("kid", {}),
]


@pytest.mark.parametrize(("name", "value"), ODD)
async def test_an_odd_key_is_left_out_and_the_others_count(issuer: Issuer, name: str, value: Any) -> None:
    issuer.keys = [{**SECOND.jwk(), "kty": "EC" if name == "crv" else "RSA", name: value}, issuer.key.jwk()]
    keys = keys_of(issuer)
    assert await knows(keys, ONE)
    assert not await knows(keys, TWO)


async def test_ten_thousand_keys_are_a_set_that_is_too_long(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    issuer.keys = [issuer.key.jwk(kid=f"k{number}") for number in range(10_000)]
    with pytest.raises(IssuerUnavailable):
        await keys_of(issuer).find(ONE, ttl=HOUR)
    assert "is longer than" in caplog.text


async def test_of_many_keys_the_first_count(issuer: Issuer) -> None:
    issuer.keys = [issuer.key.jwk(kid=f"k{number}") for number in range(1000)]
    keys = keys_of(issuer)
    assert await knows(keys, Head("RS256", f"k{MAX_KEYS - 1}"))
    assert not await knows(keys, Head("RS256", f"k{MAX_KEYS}"))


async def test_private_keys_are_read_as_public_ones(issuer: Issuer) -> None:
    private = jwt.get_algorithm_by_name("RS256").to_jwk(issuer.key.private, as_dict=True)  # type: ignore[union-attr]
    issuer.keys = [{**private, "kid": "k1", "key_ops": ["verify"]}]
    found = await keys_of(issuer).find(ONE, ttl=HOUR)
    assert found is not None
    assert isinstance(found.public, RSAPublicKey)


async def test_of_two_keys_with_one_id_the_kind_decides(issuer: Issuer) -> None:
    issuer.keys = [SigningKey("k1", "ES256").jwk(), SigningKey("k1", "EdDSA").jwk(), issuer.key.jwk()]
    keys = keys_of(issuer)
    for algorithm in ("RS256", "ES256", "EdDSA"):
        found = await keys.find(Head(algorithm, "k1"), ttl=HOUR)
        assert found is not None
        assert algorithm in found.algorithms


async def test_nobody_is_led_elsewhere(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    issuer.moved_to = f"{issuer.url}/elsewhere"
    with pytest.raises(IssuerUnavailable):
        await keys_of(issuer).find(ONE, ttl=HOUR)
    assert "status 302" in caplog.text
    assert issuer.fetches == {CONFIGURATION: 1, JWKS: 1}


async def test_keys_are_bounded_while_they_arrive(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """The provider sends spaces without end; the response is aborted at the bound."""
    issuer.endless = True
    with pytest.raises(IssuerUnavailable):
        await keys_of(issuer).find(ONE, ttl=HOUR)
    assert "is longer than" in caplog.text


async def test_one_object_holds_the_keys_of_one_issuer(issuer: Issuer) -> None:
    issuers = Issuers()
    keys = issuers.keys_of(issuer.url, "")
    assert issuers.keys_of(issuer.url, "") is keys
    assert issuers.keys_of(issuer.url, f"{issuer.url}{JWKS}") is not keys
    await issuers.close()


async def test_the_state_says_what_was_found(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_keys, "RETRY_INTERVAL", 0.0)
    keys = keys_of(issuer)
    issuer.is_down = True
    assert await keys.state() == (0, (), f"{CONFIGURATION} has status 503")
    issuer.is_down = False
    issuer.keys = [issuer.key.jwk(alg="RS256"), SigningKey("e", "EdDSA").jwk()]
    assert await keys.state() == (2, ("EdDSA", "RS256"), "")
    issuer.is_down = True
    assert await keys.state() == (2, ("EdDSA", "RS256"), ""), "it is not asked again"
    assert issuer.fetches[JWKS] == 1
