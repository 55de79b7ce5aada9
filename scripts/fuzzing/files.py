"""Laws for settings files and keys files of any bytes: accepted, or rejected with an error of one line."""

from __future__ import annotations

from oaicompat_proxy.config.command_line import build_config
from oaicompat_proxy.config.file import parse, to_toml
from oaicompat_proxy.config.settings import Config, ConfigError
from oaicompat_proxy.server.access.api_keys import KeysError, parse_keys

LONGEST_LINE = 4000


def settings_file(data: bytes) -> None:
    """Accepted settings have values of their types, which can be written as TOML again."""
    try:
        file = parse(data.decode("utf-8", "replace"), "its.toml")
        config = build_config({"upstream": "http://127.0.0.1:9", **file.values}, file)
    except ConfigError as error:
        check_line(str(error))
        return
    assert isinstance(config, Config)
    for value in file.values.values():
        to_toml(value)


def keys_file(data: bytes) -> None:
    """Every caller has a name for logs, and numeric limits."""
    try:
        entries = parse_keys(data.decode("utf-8", "replace"), requests_per_minute=0, max_runs=0)
    except KeysError as error:
        check_line(str(error))
        return
    for digest, caller in entries:
        assert len(digest) == 32
        assert caller.name.isprintable()
        assert 0 <= caller.requests_per_minute <= 2**53
        caller.may_use("a model")


def check_line(text: str) -> None:
    assert text
    assert len(text.splitlines()) == 1
    assert len(text) < LONGEST_LINE


HASH = b"0" * 64

SETTINGS_SEEDS = [
    b'model = { demo = "owl" }\nprefix = "/v2"\nsession_wait = 1.5\ncors = "*"\n',
    b'[[gateway]]\nprefix = "/a"\nupstream = "http://127.0.0.1:1"\n[[gateway]]\nprefix = "/b"\n',
    b'upstream_token = "t"\napi_key = ["a", "b"]\nmax_body = 0xff\nlog_sample = inf\n',
    b"demo = " + b"[" * 40 + b"]" * 40,
    b"max_runs = " + b"9" * 60,
]
KEYS_SEEDS = [
    b'[keys.ada]\nhash = "sha256:' + HASH + b'"\nmodels = ["gpt-*"]\nmax_runs = 4\n',
    b'[keys."b@c"]\nhash = ["' + HASH + b'", "' + HASH.replace(b"0", b"f") + b'"]\nrequests_per_minute = 0\n',
    b"keys = {}\n",
]
