"""Keys: how they are read, found and compared, and the errors about invalid ones."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from oaicompat_proxy.core.caller import INTERNAL_CALLER, Caller
from oaicompat_proxy.server.access import api_keys
from oaicompat_proxy.server.access.api_keys import (
    ApiKeys,
    KeyEntry,
    KeysError,
    digest_of,
    new_entry,
    number_keys,
    parse_keys,
    presented_key,
)

ADA, BOB = "sk-ada-4f1c", "sk-bob-77aa"
NO_LIMITS: dict[str, int] = {"requests_per_minute": 0, "max_runs": 0}


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def entry(name: str, key: str, more: str = "") -> str:
    return f'[keys."{name}"]\nhash = "sha256:{sha256(key)}"\n{more}\n'


def parsed(text: str) -> list[KeyEntry]:
    return parse_keys(text, **NO_LIMITS)


def the_caller(text: str) -> Caller:
    ((_, caller),) = parsed(text)
    return caller


# The file


def test_an_entry_is_a_name_and_a_hash() -> None:
    ((digest, caller),) = parsed(entry("ada", ADA))
    assert digest == digest_of(ADA)
    assert (caller.name, caller.requests_per_minute, caller.max_runs, caller.models) == ("ada", 0, 0, ())


@pytest.mark.parametrize("text", [sha256(ADA), sha256(ADA).upper(), f"sha256:{sha256(ADA)}"])
def test_a_hash_is_what_sha256sum_prints(text: str) -> None:
    ring = ApiKeys(parsed(f'[keys.ada]\nhash = "{text}"'))
    assert ring.find(ADA) is not None


def test_a_caller_may_have_two_keys_while_one_is_replaced() -> None:
    ring = ApiKeys(parsed(f'[keys.ada]\nhash = ["{sha256("old")}", "{sha256("new")}"]'))
    assert len(ring) == 2
    old, new = ring.find("old"), ring.find("new")
    assert old == new
    assert old is not None


def test_limits_of_an_entry_count_before_the_general_ones() -> None:
    text = entry("ada", ADA, "requests_per_minute = 3\nmax_runs = 0") + entry("bob", BOB, 'models = ["demo", "gpt-*"]')
    ada, bob = (caller for _, caller in parse_keys(text, requests_per_minute=60, max_runs=4))
    assert (ada.requests_per_minute, ada.max_runs) == (3, 0), "0 is no limit, also where there is a general one"
    assert (bob.requests_per_minute, bob.max_runs, bob.models) == (60, 4, ("demo", "gpt-*"))


PLAIN = "sk-plain-9d2e"
FAULTS = {
    "": "keys",
    "[keys]": "keys",
    "# just being written": "keys",
    "x": "TOML",
    "[keys.ada]": "keys.ada.hash",
    f'[keys.ada]\nhash = "{PLAIN}"': "SHA-256",
    f'[keys.ada]\nhash = ["{sha256(ADA)}", "{PLAIN}"]': "keys.ada.hash.1",
    '[keys.ada]\nhash = ""': "SHA-256",
    f'[keys.ada]\nhash = "{sha256(ADA)}0"': "SHA-256",
    "[keys.ada]\nhash = []": "keys.ada.hash",
    "[keys.ada]\nhash = 1": "keys.ada.hash",
    f'[keys]\nada = "{PLAIN}"': "keys.ada",
    entry("ada", ADA, f'key = "{PLAIN}"'): "keys.ada.key",
    entry("ada", ADA, "max_runs = -1"): "keys.ada.max_runs",
    entry("ada", ADA, "max_runs = true"): "keys.ada.max_runs",
    entry("ada", ADA, 'requests_per_minute = "60"'): "keys.ada.requests_per_minute",
    entry("ada", ADA, 'models = "demo"'): "keys.ada.models",
    entry("ada", ADA, "models = []"): "keys.ada.models",
    entry("ada", ADA, 'models = [""]'): "keys.ada.models",
    entry("a b", ADA): "a name has",
    entry("", ADA): "a name has",
    entry("a\\nb", ADA): "a name has",
    entry("x" * 65, ADA): "a name has",
    entry("ada", ADA) * 2: "TOML",
    'tokens = "x"\n' + entry("ada", ADA): "tokens",
}


@pytest.mark.parametrize("text", FAULTS, ids=range(len(FAULTS)))
def test_an_error_is_one_line_without_what_may_be_a_key(text: str) -> None:
    with pytest.raises(KeysError) as raised:
        parsed(text)
    message = str(raised.value)
    assert FAULTS[text] in message
    assert "\n" not in message
    assert PLAIN not in message
    assert sha256(ADA) not in message


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "it has no table [keys.NAME]; oaicompat-proxy --new-key NAME prints one"),
        ("[keys.ada]\nmax_runs = 1", "keys.ada.hash: it is missing"),
        (entry("ada", ADA, "max_run = 1"), "keys.ada.max_run: there is no setting of this name"),
    ],
)
def test_a_mistake_in_the_file_is_worded_for_an_operator(text: str, fault: str) -> None:
    with pytest.raises(KeysError) as caught:
        parsed(text)
    assert str(caught.value) == fault


def test_one_key_cannot_be_two_peoples() -> None:
    with pytest.raises(KeysError, match=r"^ada and bob have the same key$"):
        ApiKeys(parsed(entry("ada", ADA) + entry("bob", ADA)))


@pytest.mark.slow
@given(st.from_regex(r"[\w.@+-]{1,64}", fullmatch=True, alphabet=st.characters(max_codepoint=127)))
def test_a_new_entry_can_be_read(name: str) -> None:
    ring = ApiKeys(parsed(new_entry(name, ADA)))
    caller = ring.find(ADA)
    assert caller is not None
    assert caller.name == name


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "a\nb", "ä", "x" * 65])
def test_a_new_entry_needs_a_name_that_can_be(name: str) -> None:
    with pytest.raises(KeysError):
        new_entry(name, ADA)


# Keys without names


def test_keys_of_the_command_line_are_numbered() -> None:
    ring = ApiKeys(number_keys([ADA, BOB], requests_per_minute=5, max_runs=2))
    ada, bob = ring.find(ADA), ring.find(BOB)
    assert ada is not None
    assert bob is not None
    assert [ada.name, bob.name] == ["key-1", "key-2"]
    assert (ada.requests_per_minute, ada.max_runs) == (5, 2)


def test_their_sessions_are_theirs_in_whatever_order_they_stand() -> None:
    one, other = (ApiKeys(number_keys(keys, **NO_LIMITS)) for keys in ([ADA, BOB], [BOB, ADA]))
    for key in (ADA, BOB):
        found, again = one.find(key), other.find(key)
        assert found is not None
        assert again is not None
        assert found.scope == again.scope


def test_two_names_are_two_scopes_and_a_name_keeps_its_own() -> None:
    ada, bob = (caller.scope for _, caller in parsed(entry("ada", ADA) + entry("bob", BOB)))
    renewed = the_caller(entry("ada", "another"))
    numbered = [caller.scope for _, caller in number_keys([ADA], **NO_LIMITS)]
    assert renewed.scope == ada
    assert len({ada, bob, *numbered, api_keys.scope_of("ada"), api_keys.scope_of(f"Bearer {ADA}")}) == 5


# Looking for one


@pytest.mark.parametrize("wrong", ["", ADA[:-1], ADA + "x", ADA.upper(), " " + ADA, "ada", sha256(ADA), "\udce9"])
def test_another_key_is_nobodys(wrong: str) -> None:
    assert ApiKeys(parsed(entry("ada", ADA))).find(wrong) is None


def test_a_key_may_be_of_any_bytes() -> None:
    """As aiohttp and the command line give bytes that are no UTF-8."""
    raw = b"k\xe9y"
    text = f'[keys.ada]\nhash = "{hashlib.sha256(raw).hexdigest()}"'
    assert ApiKeys(parsed(text)).find(raw.decode("utf-8", "surrogateescape")) is not None


def test_digests_that_begin_alike_are_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = [b"12345678" + bytes([n]) * 24 for n in range(3)]
    monkeypatch.setattr(api_keys, "digest_of", lambda key: digests[int(key)] if key.isdigit() else bytes(32))
    ring = ApiKeys((digest, Caller(str(n), "")) for n, digest in enumerate(digests))
    found = [ring.find(str(n)) for n in range(3)]
    assert [caller.name for caller in found if caller is not None] == ["0", "1", "2"]
    assert ring.find(ADA) is None


def test_the_whole_digest_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison in constant time decides, not the look-up."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    ring = ApiKeys(parsed(entry("ada", ADA) + entry("bob", BOB)))
    monkeypatch.setattr(api_keys, "hmac", type("hmac", (), {"compare_digest": staticmethod(compare)}))
    assert ring.find(ADA) is not None
    assert compared == [(digest_of(ADA), digest_of(ADA))]
    monkeypatch.setattr(api_keys, "hmac", type("hmac", (), {"compare_digest": staticmethod(lambda *_: False)}))
    assert ring.find(ADA) is None
    assert "==" not in inspect.getsource(ApiKeys.find)


# What a client shows

SHOWN: list[tuple[dict[str, str], str]] = [
    ({"Authorization": f"Bearer {ADA}"}, ADA),
    ({"Authorization": f"bearer {ADA}"}, ADA),
    ({"Authorization": f"BEARER    {ADA}  "}, ADA),
    ({"Authorization": f"\tBearer\t{ADA}"}, ADA),
    ({"Authorization": "Bearer two words"}, "two words"),
    ({"Authorization": "Bearer \udce9"}, "\udce9"),
    ({"Authorization": "Bearer"}, ""),
    ({"Authorization": "Bearer "}, ""),
    ({"Authorization": ADA}, ""),
    ({"Authorization": f"Bearer:{ADA}"}, ""),
    ({"Authorization": "Basic YTpi"}, ""),
    ({"Authorization": f"Token {ADA}"}, ""),
    ({"Authorization": ""}, ""),
    ({}, ""),
    ({"x-api-key": ADA}, ADA),
    ({"api-key": f" {ADA} "}, ADA),
    ({"Authorization": "Basic YTpi", "x-api-key": ADA}, ADA),
    ({"Authorization": f"Bearer {ADA}", "x-api-key": BOB}, ADA),
    ({"x-api-key": ADA, "api-key": BOB}, ADA),
]


@pytest.mark.parametrize(("headers", "key"), SHOWN, ids=range(len(SHOWN)))
def test_a_key_is_shown_in_any_of_three_headers(headers: dict[str, str], key: str) -> None:
    assert presented_key(CIMultiDict(headers)) == key


# What a caller may do


@pytest.mark.parametrize(
    ("patterns", "model", "may"),
    [
        ((), "anything", True),
        (("demo",), "demo", True),
        (("demo",), "demo2", False),
        (("demo",), "DEMO", False),
        (("demo",), "default", False),
        (("gpt-*", "demo"), "gpt-4o", True),
        (("*",), "a/b", True),
        (("research/*",), "research/x/y", True),
        (("[", "[ab]x"), "bx", True),
        (("[",), "x", False),
    ],
)
def test_models_are_allowed_by_patterns(patterns: tuple[str, ...], model: str, may: bool) -> None:
    assert Caller("ada", "", models=patterns).may_use(model) is may


def test_the_proxy_itself_may_use_all() -> None:
    assert INTERNAL_CALLER.may_use("anything")
    assert (INTERNAL_CALLER.requests_per_minute, INTERNAL_CALLER.max_runs) == (0, 0)


def test_a_caller_does_not_tell_the_clients_header() -> None:
    caller: Any = Caller("ada", "", authorization=f"Bearer {ADA}")
    assert not [form for form, text in itertools.product((str, repr), [caller]) if ADA in form(text)]


def test_only_an_entry_that_says_so_may_name_the_gateways_own_sessions() -> None:
    text = new_entry("ada", "ada") + "native_sessions = true\n" + new_entry("bob", "bob")
    entries = parse_keys(text, requests_per_minute=0, max_runs=0)
    assert {caller.name: caller.native_sessions for _, caller in entries} == {"ada": True, "bob": False}
    with pytest.raises(KeysError, match="native_sessions"):
        parse_keys(new_entry("ada", "ada") + "native_sessions = 1\n", requests_per_minute=0, max_runs=0)
