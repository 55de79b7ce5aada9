"""The keys file: taken when it changes, never when it is bad; and who is who with and without keys."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest

from oaicompat_proxy.config.settings import Config, ConfigError
from oaicompat_proxy.core.caller import Caller
from oaicompat_proxy.core.errors import InvalidKey, MissingKey
from oaicompat_proxy.server.access import authenticator as callers
from oaicompat_proxy.server.access.authenticator import Authenticator


@pytest.fixture(autouse=True)
def _looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "CHECK_INTERVAL", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def entry(name: str, key: str, more: str = "") -> str:
    return f'[keys.{name}]\nhash = "{hashlib.sha256(key.encode()).hexdigest()}"\n{more}\n'


def made(path: Path, **settings: object) -> Authenticator:
    return Authenticator(Config(**{"demo": True, "api_keys_file": str(path), **settings}))  # type: ignore[arg-type]


def who(authenticator: Authenticator, key: str) -> Caller:
    return authenticator.identify({"authorization": f"Bearer {key}"})


def knows(authenticator: Authenticator, *keys: str) -> list[bool]:
    known = []
    for key in keys:
        try:
            known.append(bool(who(authenticator, key)))
        except InvalidKey:
            known.append(False)
    return known


# The file changes


def replace(path: Path, text: str) -> None:
    """In one step, as it should be done."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(path)


def test_a_file_that_is_replaced_is_taken(path: Path) -> None:
    path.write_text(entry("ada", "one"))
    authenticator = made(path)
    assert knows(authenticator, "one", "two") == [True, False]
    replace(path, entry("ada", "two"))
    assert knows(authenticator, "one", "two") == [False, True]


def test_a_file_that_is_replaced_is_noticed_by_its_place_alone(path: Path) -> None:
    """Also when its time and its size say that nothing has changed."""
    path.write_text(entry("ada", "one"))
    authenticator = made(path)
    before = path.stat()
    beside = path.with_suffix(".new")
    beside.write_text(entry("ada", "two"))
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
    beside.rename(path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_size == before.st_size
    assert knows(authenticator, "one", "two") == [False, True]


def test_a_file_that_is_written_again_is_taken(path: Path) -> None:
    path.write_text(entry("ada", "one"))
    authenticator = made(path)
    path.write_text(entry("ada", "one") + entry("bob", "two", "max_runs = 3"))
    assert knows(authenticator, "one", "two") == [True, True]
    assert who(authenticator, "two").max_runs == 3


def test_a_link_that_points_elsewhere_is_followed(path: Path, tmp_path: Path) -> None:
    """As Kubernetes changes a mounted secret."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.toml").write_text(entry("ada", name))
    (tmp_path / "data").symlink_to("one")
    path.symlink_to("data/keys.toml")
    authenticator = made(path)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "data")
    assert knows(authenticator, "one", "two") == [False, True]


BAD = ["", "x", "[keys]\n", entry("ada", "two") + "hash", entry("ada", "two") + entry("bob", "two"), "\udce9"]


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_a_bad_file_changes_nothing_and_is_logged_once(path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text(entry("ada", "one"))
    authenticator = made(path)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    for _ in range(5):
        assert knows(authenticator, "one", "two") == [True, False]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "keeping the previous keys" in record.getMessage()
    path.write_text(entry("ada", "two"))
    assert knows(authenticator, "one", "two") == [False, True]


def test_a_file_that_disappears_changes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text(entry("ada", "one"))
    authenticator = made(path)
    path.unlink()
    assert knows(authenticator, "one") == [True]
    assert "No such file" in caplog.text
    path.write_text(entry("ada", "two"))
    assert knows(authenticator, "one", "two") == [False, True]


def test_it_is_read_when_it_changes_and_looked_at_now_and_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(entry("ada", "one"))
    authenticator = made(path)
    read: list[str] = []
    monkeypatch.setattr(callers, "_text", read.append)
    assert knows(authenticator, "one", "one") == [True, True]
    assert read == []
    monkeypatch.setattr(callers, "CHECK_INTERVAL", 60.0)
    looks: list[object] = []
    look = os.stat
    monkeypatch.setattr(callers.os, "stat", lambda file: (looks.append(file), look(file))[1])
    assert knows(authenticator, "one", "one", "one") == [True, True, True]
    assert looks == [str(path)]


# It cannot be used from the start


@pytest.mark.parametrize("text", [None, *BAD], ids=range(len(BAD) + 1))
def test_a_bad_file_at_the_start_is_one_line_for_who_starts_the_proxy(path: Path, text: str | None) -> None:
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as raised:
        made(path)
    assert "\n" not in str(raised.value)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--api-keys-file"):
        made(tmp_path)


def test_a_file_has_a_largest_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(entry("ada", "one"))
    monkeypatch.setattr(callers, "MAX_FILE_BYTES", path.stat().st_size)
    assert knows(made(path), "one") == [True]
    path.write_text(entry("ada", "one") + "\n")
    with pytest.raises(ConfigError, match="larger"):
        made(path)


def test_a_key_that_is_given_twice_is_a_mistake(path: Path) -> None:
    with pytest.raises(ConfigError, match="key-1 and key-2"):
        Authenticator(Config(demo=True, api_key=("one", "one")))
    path.write_text(entry("ada", "one"))
    with pytest.raises(ConfigError, match="key-1 and ada"):
        made(path, api_key=("one",))


# Who is who


def test_keys_of_both_places_are_valid(path: Path) -> None:
    path.write_text(entry("ada", "one"))
    authenticator = made(path, api_key=("two",))
    assert [who(authenticator, key).name for key in ("one", "two")] == ["ada", "key-1"]
    path.write_text(entry("ada", "three"))
    assert knows(authenticator, "one", "two", "three") == [False, True, True]


def test_no_key_and_a_wrong_one_are_two_things(path: Path) -> None:
    path.write_text(entry("ada", "one"))
    authenticator = made(path)
    with pytest.raises(MissingKey) as missing:
        authenticator.identify({})
    with pytest.raises(InvalidKey) as wrong:
        who(authenticator, "sk-wrong-51ab")
    assert (missing.value.code, wrong.value.code) == (None, "invalid_api_key")
    assert "51ab" not in wrong.value.message


def test_without_keys_callers_are_distinguished_by_their_header() -> None:
    authenticator = Authenticator(Config(demo=True, requests_per_minute=3, max_runs_per_key=2))
    headers: list[dict[str, str]] = [
        {},
        {"authorization": "Bearer a"},
        {"authorization": "Basic x"},
        {"x-api-key": "a"},
    ]
    strangers = [authenticator.identify(each) for each in headers]
    assert len({each.scope for each in strangers}) == 4
    assert {(each.name, each.requests_per_minute, each.max_runs) for each in strangers} == {("", 3, 2)}


@pytest.mark.parametrize("keys", [(), ("one",)])
def test_a_clients_header_is_kept_only_where_it_is_passed_on(keys: tuple[str, ...]) -> None:
    header = {"authorization": "Bearer one"}
    for passes, kept in ((False, None), (True, "Bearer one")):
        assert (
            Authenticator(Config(demo=True, api_key=keys, pass_authorization=passes)).identify(header).authorization
            == kept
        )


def test_a_header_that_is_passed_on_keeps_its_bytes() -> None:
    authenticator = Authenticator(Config(demo=True, pass_authorization=True))
    for raw in (b"Bearer \xe9", "Bearer é".encode()):
        received = raw.decode("utf-8", "surrogateescape")
        own = authenticator.identify({"authorization": received}).authorization
        assert own is not None
        assert own.encode("latin-1") == raw
