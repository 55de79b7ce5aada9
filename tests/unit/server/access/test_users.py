"""Who is believed about users, and what of a user is written down."""

from __future__ import annotations

from dataclasses import replace

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from oaicompat_proxy.config.settings import Config, ConfigError
from oaicompat_proxy.core.caller import Caller
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.signing import Secrets, SigningKeys
from oaicompat_proxy.server.access.users import HASH_LENGTH, MAX_USER, Users

KEY = Caller("app", "scope")
TRUSTED = Caller("app", "scope", trusts_headers=True)
LOOPBACK = "127.0.0.1"


def users(*places: str, secret: bytes = b"s", **settings: object) -> Users:
    config = Config(**{"demo": True, "user_from": places, **settings})  # type: ignore[arg-type]
    return Users(config, SigningKeys(Secrets([secret]), "users"))


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


ADA = headers(("x-user", "ada"))


@pytest.mark.parametrize(
    ("caller", "networks", "peer", "user"),
    [
        (KEY, (), LOOPBACK, ""),
        (TRUSTED, (), "203.0.113.9", "ada"),
        (KEY, ("10.0.0.0/8",), "10.1.2.3", "ada"),
        (KEY, ("10.0.0.0/8",), "::ffff:10.1.2.3", "ada"),
        (KEY, ("10.0.0.0/8",), "11.1.2.3", ""),
        (KEY, ("10.0.0.0/8",), "-", ""),
        (KEY, ("127.0.0.1",), LOOPBACK, "ada"),
    ],
)
def test_a_header_is_believed_only_from_the_trusted(
    caller: Caller, networks: tuple[str, ...], peer: str, user: str
) -> None:
    found = users("header:X-User", trust_user_from=networks).identify(caller, ADA, peer)
    assert found.user == user
    assert (found.scope == caller.scope) == (user == "")
    assert found.name == caller.name


def test_a_user_header_that_is_repeated_or_empty() -> None:
    finder = users("header:X-User", "header:X-Mail")
    with pytest.raises(InvalidRequest, match="more than once"):
        finder.identify(TRUSTED, headers(("X-User", "ada"), ("x-user", "bob")), LOOPBACK)
    assert finder.identify(TRUSTED, headers(("X-User", " "), ("X-Mail", "a@b")), LOOPBACK).user == "a@b"
    assert finder.identify(KEY, headers(("X-User", "ada"), ("x-user", "bob")), LOOPBACK) is KEY


def test_a_field_counts_in_the_given_order_and_only_as_text() -> None:
    finder = users("safety_identifier", "user")
    assert finder.in_fields(KEY, {"user": "ada", "safety_identifier": "s1"}.get).user == "s1"
    assert finder.in_fields(KEY, {"user": "ada", "safety_identifier": 7}.get).user == "ada"
    assert finder.in_fields(KEY, {"user": ["ada"]}.get) is KEY
    assert users("user").in_fields(KEY, {"safety_identifier": "s1"}.get) is KEY


def test_a_name_has_a_bound() -> None:
    assert users("user").in_fields(KEY, {"user": "x" * MAX_USER}.get).user == "x" * MAX_USER
    with pytest.raises(InvalidRequest) as caught:
        users("user").in_fields(KEY, {"user": "x" * (MAX_USER + 1)}.get)
    assert caught.value.param == "user"
    assert "x" * 20 not in caught.value.message


@pytest.mark.parametrize("name", ["\ud800", "\udcc3\udca9", "ada\udfff"])
def test_a_name_that_is_no_text_is_refused(name: str) -> None:
    """The bytes of the second one would be those of é."""
    finder = users("user", "header:X-User")
    with pytest.raises(InvalidRequest):
        finder.in_fields(KEY, {"user": name}.get)
    with pytest.raises(InvalidRequest):
        finder.identify(TRUSTED, headers(("X-User", name)), LOOPBACK)


def test_a_caller_with_credentials_is_not_kept() -> None:
    finder = users("header:X-User")
    own = replace(TRUSTED, authorization="Bearer secret")
    assert finder.identify(TRUSTED, ADA, LOOPBACK) is finder.identify(TRUSTED, ADA, LOOPBACK)
    assert finder.identify(own, ADA, LOOPBACK) is not finder.identify(own, ADA, LOOPBACK)


def test_every_user_of_every_key_has_a_scope() -> None:
    other = Caller("other", "scope 2")
    scopes = [each.scope for each in (KEY, KEY.for_user("ada"), KEY.for_user("bob"), other.for_user("ada"))]
    assert len({*scopes}) == len(scopes)
    assert KEY.for_user("ada").scope == KEY.for_user("ada").scope


def test_the_label_of_a_user_is_a_keyed_hash_by_default() -> None:
    label = users("user").label
    assert len(label("ada")) == HASH_LENGTH
    assert label("ada") == label("ada") != label("bob")
    assert users("user", secret=b"t").label("ada") != label("ada")
    assert users("user", log_users="plain").label("ada") == "ada"
    assert users("user", log_users="none").label("ada") == ""


@pytest.mark.parametrize("place", ["x-user", "header:", "header:a b", "jwt:", "metadata.user", ""])
def test_a_place_that_is_none_is_an_error(place: str) -> None:
    with pytest.raises(ConfigError, match="--user-from must be one of header:NAME"):
        users(place)
