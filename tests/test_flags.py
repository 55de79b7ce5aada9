from __future__ import annotations

import os
from dataclasses import fields

import pytest

from oaicompat_proxy.config import Config, ConfigError, flag
from oaicompat_proxy.flags import options, read_environment


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings of the proxy that a developer may have."""
    for name in [name for name in os.environ if name.startswith("OAICOMPAT_")]:
        monkeypatch.delenv(name)


def test_every_setting_is_a_flag_and_a_variable() -> None:
    assert [option.opts[0] for option in options()] == [flag(each.name) for each in fields(Config)]
    assert [option.envvar for option in options()] == [f"OAICOMPAT_{each.name.upper()}" for each in fields(Config)]


def test_the_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "UPSTREAM": "http://gateway",
        "MODEL": "gpt-4o=echo mini=",
        "SESSION_FROM": "user x-session-id",
        "KEEP_ALIVE": "2.5",
        "MAX_BODY": "1000",
    }.items():
        monkeypatch.setenv(f"OAICOMPAT_{name}", value)
    assert read_environment() == Config(
        upstream="http://gateway",
        model={"gpt-4o": "echo", "mini": ""},
        session_from=("user", "x-session-id"),
        keep_alive=2.5,
        max_body=1000,
    )


@pytest.mark.parametrize(
    ("name", "value", "words"), [("PORT", "web", "port"), ("KEEP_ALIVE", "-1", "--keep-alive"), ("DEMO", "1", "--demo")]
)
def test_what_cannot_be_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv("OAICOMPAT_UPSTREAM", "http://gateway")
    monkeypatch.setenv(f"OAICOMPAT_{name}", value)
    with pytest.raises(ConfigError, match=words) as raised:
        read_environment()
    assert "\n" not in str(raised.value)
