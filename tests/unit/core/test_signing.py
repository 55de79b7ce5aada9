"""Keys of signatures: other secrets and purposes give other ones, and old secrets still read."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.signing import Secrets, SigningKeys

parts = st.lists(st.text() | st.integers() | st.booleans(), max_size=3)


@given(parts, parts)
def test_a_signature_is_of_its_parts_and_of_no_others(one: list[Any], other: list[Any]) -> None:
    keys = SigningKeys(Secrets([b"secret"]))
    signature = keys.sign(*one)
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", signature)
    assert keys.verify(signature, *one)
    same = repr(one) == repr(other)  # True is no 1 here
    assert keys.verify(signature, *other) == same


@given(st.binary(min_size=1), st.binary(min_size=1), st.text(), st.text())
def test_another_secret_or_purpose_gives_another_key(secret: bytes, other: bytes, purpose: str, elsewhere: str) -> None:
    key = SigningKeys(Secrets([secret]), purpose).newest
    assert (SigningKeys(Secrets([other]), purpose).newest == key) == (secret == other)
    if b"\0" not in secret:
        assert (SigningKeys(Secrets([secret]), elsewhere).newest == key) == (purpose == elsewhere)


def test_the_names_of_sessions_stay_what_they_were() -> None:
    """For a configured secret, and for one made of the gateway's address and token: as releases before made them."""
    assert SigningKeys(Secrets([b"text"])).newest == hashlib.sha256(b"oaicompat-proxy\0text").digest()
    apart = SigningKeys(Secrets([b"text"]), "/v1").newest
    assert apart == hashlib.sha256(b"oaicompat-proxy\0text\0/v1").digest()


def test_the_newest_signs_and_all_of_them_read() -> None:
    secrets = Secrets([b"one"])
    keys = SigningKeys(secrets, "here")
    before = keys.sign("x")
    secrets.prefer(b"two")
    assert keys.newest == SigningKeys(Secrets([b"two"]), "here").newest
    assert keys.verify(before, "x")
    assert keys.verify(keys.sign("x"), "x")
    assert keys.sign("x") != before
    secrets.prefer(b"one")
    assert (keys.sign("x"), len(keys.all)) == (before, 2)


def test_what_is_no_signature_is_none() -> None:
    keys = SigningKeys(Secrets([b"one"]))
    for text in ("", "x", "\ud800", "\u00e9" * 32, keys.sign("x") + "x"):
        assert not keys.verify(text, "x")
