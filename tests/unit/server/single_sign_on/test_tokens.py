"""Keys of an issuer, and the heads of tokens that choose one. The forgeries are in hostile/test_forged_tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.core.errors import InvalidToken
from oaicompat_proxy.server.single_sign_on.tokens import (
    Head,
    find_key,
    looks_like_token,
    read_head,
    read_keys,
    read_keys_url,
    verify,
)
from tests.support.issuer import AUDIENCE, Issuer, SigningKey, segment

RSA, WEAK, CURVE, EDWARDS = (
    SigningKey("r"),
    SigningKey("w", bits=1024),
    SigningKey("c", "ES256"),
    SigningKey("e", "EdDSA"),
)


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


@pytest.mark.parametrize("key", [RSA, SigningKey("p", "PS256"), CURVE, EDWARDS], ids=lambda key: str(key.algorithm))
def test_each_kind_of_key_verifies_its_tokens(key: SigningKey) -> None:
    issuer = Issuer()
    token = issuer.token(key)
    head = read_head(token)
    found = find_key(read_keys(key_set(key.jwk())), head)
    assert found is not None
    assert verify(token, head, found, issuer="", audience=("x", AUDIENCE))["sub"] == "ada"


@pytest.mark.parametrize(
    "jwk",
    [
        WEAK.jwk(),
        RSA.jwk(use="enc"),
        RSA.jwk(key_ops=["encrypt"]),
        RSA.jwk(alg="RSA-OAEP"),
        RSA.jwk(alg="HS256"),
        RSA.jwk(kty="oct", k="c2VjcmV0"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "o", "alg": "HS256"},
        CURVE.jwk(crv="secp256k1"),
        CURVE.jwk(x="AA"),
        RSA.jwk(n=7),
        RSA.jwk(kid=7),
        {"kty": "RSA"},
        {},
        "text",
        None,
    ],
)
def test_a_key_that_is_no_strong_public_key_for_signatures_is_left_out(jwk: Any) -> None:
    assert [key.kid for key in read_keys(key_set(jwk, EDWARDS.jwk()))] == ["e"]


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"keys":{}}', b"\xff", b"<html>"])
def test_what_is_no_key_set_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_keys(text)


@pytest.mark.parametrize(
    ("issuer", "url"),
    [("https://id.test", "https://keys.test/k"), ("http://id.test", "http://id.test/k"), ("http://a", "https://b/k")],
)
def test_the_keys_are_where_the_configuration_says(issuer: str, url: str) -> None:
    assert read_keys_url(json.dumps({"issuer": issuer, "jwks_uri": url}).encode(), issuer) == url


@pytest.mark.parametrize("url", ["http://id.test/k", "file:///etc/passwd", "", None, ["https://id.test/k"]])
def test_a_secure_issuer_has_its_keys_at_a_secure_address(url: Any) -> None:
    with pytest.raises(ValueError, match=r"jwks_uri must begin with https://$"):
        read_keys_url(json.dumps({"issuer": "https://id.test", "jwks_uri": url}).encode(), "https://id.test")


@pytest.mark.parametrize("document", [[], None, {}, {"issuer": "https://id.test/", "jwks_uri": "https://id.test/k"}])
def test_the_configuration_of_another_issuer_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="another issuer"):
        read_keys_url(json.dumps(document).encode(), "https://id.test")


def test_an_algorithm_of_the_key_set_is_the_only_one() -> None:
    (any_of_rsa,), (one,) = read_keys(key_set(RSA.jwk())), read_keys(key_set(RSA.jwk(alg="RS384")))
    assert "RS512" in any_of_rsa.algorithms
    assert one.algorithms == {"RS384"}
    assert find_key([one], Head("RS256", "r")) is None


def test_a_token_without_a_kid_needs_a_single_key() -> None:
    one, two = read_keys(key_set(RSA.jwk())), read_keys(key_set(RSA.jwk(), SigningKey("r2").jwk(), EDWARDS.jwk()))
    assert find_key(one, Head("RS256", "")) == one[0]
    assert find_key(two, Head("RS256", "")) is None
    assert find_key(two, Head("EdDSA", "")) == two[2]


@pytest.mark.parametrize("key", ["sk-live.a.b", "eyJ", "ey.a", "ey.a.b.c", ""])
def test_a_key_is_no_token(key: str) -> None:
    assert not looks_like_token(key)


@pytest.mark.parametrize("head", [{"alg": "RS256", "typ": 1}, {"alg": "RS256", "kid": None}, {"alg": "HS256"}, {}, []])
def test_an_unfit_head_is_refused(head: Any) -> None:
    with pytest.raises(InvalidToken):
        read_head(f"{segment(head)}.x.y")
