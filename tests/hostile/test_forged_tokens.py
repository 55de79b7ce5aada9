"""Forged tokens, socket to socket: none of them is accepted."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.support.conformance import check_error_body
from tests.support.issuer import (
    AUDIENCE,
    JWKS,
    Issuer,
    SigningKey,
    segment,
    serving_issuer,
    sign_with_secret,
    sso_settings,
)
from tests.support.proxy import StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with serving_issuer() as there:
        yield there


OWN = SigningKey("k1")
"""A forger's key, called as one of the issuer's."""

Forgery = Callable[[Issuer], str]


def with_head(**head: Any) -> Forgery:
    return lambda issuer: issuer.token(head=head)


def with_claims(**claims: Any) -> Forgery:
    return lambda issuer: issuer.token(**claims)


def own_key_in_head(name: str, value: Any) -> Forgery:
    return lambda issuer: issuer.token(OWN, head={name: value})


def unsigned(algorithm: Any) -> Forgery:
    return lambda issuer: f"{segment({'alg': algorithm, 'kid': 'k1'})}.{segment(issuer.claims())}."


def public_key_as_secret(issuer: Issuer) -> str:
    return sign_with_secret({"alg": "HS256", "kid": "k1"}, issuer.claims(), issuer.key.pem)


def jwk_as_secret(issuer: Issuer) -> str:
    return sign_with_secret({"alg": "HS256", "kid": "k1"}, issuer.claims(), json.dumps(issuer.key.jwk()).encode())


def secret_claimed_as_rsa(issuer: Issuer) -> str:
    return sign_with_secret({"alg": "RS256", "kid": "k1"}, issuer.claims(), issuer.key.pem)


def changed_claims(issuer: Issuer) -> str:
    head, _, signature = issuer.token().split(".")
    return f"{head}.{segment(issuer.claims(azp='admin'))}.{signature}"


def changed_head(issuer: Issuer) -> str:
    _, claims, signature = issuer.token().split(".")
    return f"{segment({'alg': 'RS256', 'kid': 'k1'})}.{claims}.{signature}"


def twice(name: str, value: Any) -> Forgery:
    """The issuer itself would have to sign that, but parsers differ in what it means."""

    def forge(issuer: Issuer) -> str:
        claims = json.dumps(issuer.claims())
        return issuer.key.sign(
            {"alg": "RS256", "kid": "k1"}, f"{claims[:-1]}, {json.dumps(name)}: {json.dumps(value)}}}"
        )

    return forge


def twice_in_head(issuer: Issuer) -> str:
    return issuer.key.sign('{"alg":"none","alg":"RS256","kid":"k1"}', issuer.claims())


def raw(head: str, claims: str) -> Forgery:
    return lambda issuer: issuer.key.sign(head, claims)


HEAD = '{"alg":"RS256","kid":"k1"}'

FORGERIES: dict[str, Forgery] = {
    "none": unsigned("none"),
    "None": unsigned("None"),
    "nOnE": unsigned("nOnE"),
    "no algorithm": with_head(alg=None),
    "algorithm as a list": with_head(alg=["RS256"]),
    "empty algorithm": with_head(alg=""),
    "HS256 with the public key": public_key_as_secret,
    "HS256 with the JWK": jwk_as_secret,
    "RS256 that is a hash": secret_claimed_as_rsa,
    "another of the key's algorithms": with_head(alg="RS512"),
    "an algorithm of another kind of key": with_head(alg="ES256"),
    "own key": lambda issuer: issuer.token(OWN),
    "no kid, own key": lambda issuer: issuer.token(OWN, head={"kid": None}),
    "jwk": own_key_in_head("jwk", OWN.jwk()),
    "jku": own_key_in_head("jku", "http://127.0.0.1:9/jwks"),
    "x5u": own_key_in_head("x5u", "http://127.0.0.1:9/chain.pem"),
    "x5c": own_key_in_head("x5c", ["MIIB"]),
    "unknown kid": with_head(kid="k2"),
    "kid as a path": with_head(kid="../../../../dev/null"),
    "kid as SQL": with_head(kid="x' UNION SELECT 'k'--"),
    "kid as a number": with_head(kid=1),
    "kid with a zero byte": with_head(kid="k1\0"),
    "kid in other letters": with_head(kid="K1"),
    "an algorithm with a space": with_head(alg="RS256 "),
    "HS512 with the public key": lambda issuer: sign_with_secret(
        {"alg": "HS512", "kid": "k1"}, issuer.claims(), issuer.key.pem
    ),
    "an empty secret": lambda issuer: sign_with_secret({"alg": "HS256", "kid": "k1"}, issuer.claims(), b""),
    "compressed": with_head(zip="DEF", crit=["zip"]),
    "crit": with_head(crit=["exp"]),
    "b64": with_head(crit=["b64"], b64=False),
    "a logout token": with_head(typ="logout+jwt"),
    "a proof of DPoP": with_head(typ="dpop+jwt"),
    "changed claims": changed_claims,
    "changed head": changed_head,
    "expired": lambda issuer: issuer.token(exp=int(time.time()) - 1),
    "expired long ago": with_claims(exp=1),
    "never expires": with_claims(exp=None),
    "expires as a text": with_claims(exp="tomorrow"),
    "expires in infinity": raw(HEAD, '{"exp":1e999}'),
    "expires at NaN": raw(HEAD, '{"exp":NaN}'),
    "not yet valid": lambda issuer: issuer.token(nbf=int(time.time()) + 60),
    "issued in the future": lambda issuer: issuer.token(iat=int(time.time()) + 60),
    "wrong audience": with_claims(aud="others"),
    "wrong audiences": with_claims(aud=["others", AUDIENCE + "x"]),
    "no audience": with_claims(aud=None),
    "audience as an object": with_claims(aud={AUDIENCE: True}),
    "wrong issuer": with_claims(iss="https://evil.example"),
    "issuer with a slash": lambda issuer: issuer.token(iss=issuer.url + "/"),
    "issuer as a list": lambda issuer: issuer.token(iss=[issuer.url]),
    "no issuer": with_claims(iss=None),
    "no key": with_claims(azp=None),
    "key as a list": with_claims(azp=["web"]),
    "empty key": with_claims(azp=""),
    "line end in the key": with_claims(azp="web\nx"),
    "azp twice": twice("azp", "admin"),
    "exp twice": twice("exp", 9999999999),
    "alg twice": twice_in_head,
    "claims as a list": raw(HEAD, "[]"),
    "claims as a text": raw(HEAD, '"x"'),
    "claims that are no JSON": raw(HEAD, "{"),
    "deep claims": raw(HEAD, '{"a":' * 900 + "1" + "}" * 900),
    "deep head": lambda issuer: f"{segment('[' * 3000)}.{segment(issuer.claims())}.x",
    "head as a list": lambda issuer: f"{segment([1])}.{segment(issuer.claims())}.x",
    "no signature": lambda issuer: issuer.token().rpartition(".")[0] + ".",
    "other letters": lambda issuer: issuer.token() + "!",
    "only dots": lambda issuer: "ey..",
    "encrypted": lambda issuer: f"{segment({'alg': 'RSA-OAEP', 'enc': 'A256GCM', 'kid': 'k1'})}.x.y",
    "four parts": lambda issuer: issuer.token() + ".x",
    "five parts": lambda issuer: issuer.token() + ".x.y",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_a_forged_token_is_refused(proxy: StartProxy, agent: Agent, issuer: Issuer, forge: Forgery) -> None:
    front = await proxy(**sso_settings(issuer))
    received = await front.post(chat_body(), headers={"Authorization": f"Bearer {forge(issuer)}"})
    assert received.status == 401, received.body
    assert check_error_body(received.body)["code"] in ("invalid_token", "invalid_api_key")
    assert received.headers["WWW-Authenticate"].endswith('error="invalid_token"')
    assert received.headers["x-should-retry"] == "false"
    assert agent.runs == []


async def test_the_same_issuers_own_token_is_accepted(proxy: StartProxy, agent: Agent, issuer: Issuer) -> None:
    """Otherwise the test above would show nothing."""
    agent.plays(run("Hello"))
    front = await proxy(**sso_settings(issuer))
    assert (await front.post(chat_body(), headers={"Authorization": f"Bearer {issuer.token()}"})).status == 200


@pytest.mark.parametrize(
    "signature",
    [bytes(64), bytes(63) + b"\1", b"", bytes.fromhex("3006020100020100"), b"\xff" * 64, bytes(128)],
    ids=["zeros", "a one", "empty", "DER zeros", "above the order", "twice as long"],
)
async def test_a_signature_of_a_curve_that_every_text_would_have_is_refused(
    proxy: StartProxy, agent: Agent, issuer: Issuer, signature: bytes
) -> None:
    """CVE-2022-21449: with r and s of zero a verifier that does not check them accepts everything."""
    key = SigningKey("curve", "ES256")
    issuer.keys.append(key.jwk())
    front = await proxy(**sso_settings(issuer))
    text, _, _ = issuer.token(key).rpartition(".")
    token = f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    assert (await front.post(chat_body(), headers={"Authorization": f"Bearer {token}"})).status == 401
    assert agent.runs == []


@pytest.mark.parametrize("kind", ["ES256", "EdDSA", "RS256"])
async def test_a_key_verifies_only_tokens_of_its_own_kind(
    proxy: StartProxy, agent: Agent, issuer: Issuer, kind: str
) -> None:
    """The set has keys of every kind under one id; the head chooses the kind, and the signature has to be of it."""
    signers = [SigningKey("k1", each) for each in ("ES256", "EdDSA", "RS256")]
    issuer.keys = [each.jwk() for each in signers]
    front = await proxy(**sso_settings(issuer))
    agent.plays(run("Hello"))
    for signer in signers:
        token = issuer.token(signer, head={"alg": kind})
        received = await front.post(chat_body(), headers={"Authorization": f"Bearer {token}"})
        assert received.status == (200 if signer.algorithm == kind else 401)


async def test_a_token_of_a_megabyte_is_refused_at_its_head(proxy: StartProxy, agent: Agent, issuer: Issuer) -> None:
    """However long the lines are that the operator allows, a part of a token has a bound of its own."""
    front = await proxy(max_line=2_000_000, **sso_settings(issuer))
    for token in (issuer.token(sub="x" * 1_000_000), issuer.token(head={"kid": "k" * 1_000_000})):
        line = await front.dial()
        await line.post(chat_body(), headers=[f"Authorization: Bearer {token}"])
        assert int((await line.read_until(b"\r\n")).split()[1]) in (400, 401, 431)
    assert agent.runs == []


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/v1/completions", "/v1/models"])
async def test_every_api_refuses_in_its_own_words(proxy: StartProxy, issuer: Issuer, path: str) -> None:
    front = await proxy(**sso_settings(issuer))
    headers = {"Authorization": f"Bearer {issuer.token(OWN)}"}
    received = await front.request("GET" if path == "/v1/models" else "POST", path, headers=headers, data=b"{}")
    error = json.loads(received.body)
    assert received.status == 401
    assert error["error"]["type"] == ("authentication_error" if "messages" in path else "invalid_request_error")


@pytest.mark.parametrize("size", [9_000, 70_000])
async def test_a_huge_token_costs_nothing(proxy: StartProxy, issuer: Issuer, size: int) -> None:
    front = await proxy(**sso_settings(issuer))
    line = await front.dial()
    await line.post(chat_body(), headers=[f"Authorization: Bearer {issuer.token(note='x' * size)}"])
    status = int((await line.read_until(b"\r\n")).split()[1])
    assert status in (400, 431)
    assert issuer.fetches[JWKS] == 0


async def test_a_token_counts_only_as_a_bearer_token(proxy: StartProxy, issuer: Issuer) -> None:
    front = await proxy(**sso_settings(issuer))
    for headers in ({"x-api-key": issuer.token()}, {"api-key": issuer.token()}, {}):
        assert (await front.post(chat_body(), headers=headers)).status == 401


async def test_forged_tokens_with_invented_keys_cost_one_fetch(proxy: StartProxy, issuer: Issuer) -> None:
    front = await proxy(**sso_settings(issuer))
    for number in range(20):
        token = issuer.token(OWN, head={"kid": f"invented-{number}"})
        assert (await front.post(chat_body(), headers={"Authorization": f"Bearer {token}"})).status == 401
    assert issuer.fetches[JWKS] == 1
