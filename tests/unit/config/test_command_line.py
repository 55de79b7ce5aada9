from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import TypeAdapter

from oaicompat_proxy.config.command_line import (
    file_option,
    load_config,
    load_from_environment,
    negative_flag,
    options,
    reload_config,
    unknown_variables,
    value_source,
    variable,
)
from oaicompat_proxy.config.fields import basic_type, choices_of, default_of
from oaicompat_proxy.config.file import to_toml
from oaicompat_proxy.config.settings import SETTINGS, Config, ConfigError, flag


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without settings of the proxy that a developer may have."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("OAICOMPAT_")]:
        monkeypatch.delenv(name)


def parsed(*arguments: str) -> click.Context:
    return click.Command("it", params=[file_option(), *options()]).make_context("it", [*arguments])


def test_every_setting_is_a_flag_and_a_variable() -> None:
    assert [option.opts[0] for option in options()] == [flag(each.name) for each in SETTINGS]
    assert [option.envvar for option in options()] == [f"OAICOMPAT_{each.name.upper()}" for each in SETTINGS]


def test_no_flag_stands_for_two_settings() -> None:
    names = [name for option in [file_option(), *options()] for name in (*option.opts, *option.secondary_opts)]
    assert len(names) == len({*names})


CHECKED = {
    "upstream": ("http://a", "http://b", "unix:/c"),
    "prefix": ("/a", "/b", "/c"),
    "unix_socket_mode": ("600", "660", "666"),
    "metrics_from": (("10.0.0.1",), ("10.0.0.0/8", "::1"), ("10.0.0.2",)),
    "trusted_proxy": (("10.0.0.1",), ("10.0.0.0/8", "::1"), ("10.0.0.2",)),
    "session_from": (("user",), ("header:a", "user"), ("none",)),
    "jwt_issuer": ("https://a", "https://b", "http://127.0.0.1:1"),
    "jwt_jwks": ("https://a/k", "https://b/k", "http://127.0.0.1:1/k"),
    "side_requests": ("answer", "model:a", "run"),
    "cors": ("*", "https://a.example", "null"),
    "user_from": (("user",), ("header:a", "user"), ("safety_identifier",)),
    "trust_user_from": (("10.0.0.1",), ("10.0.0.0/8", "::1"), ("10.0.0.2",)),
}
"""Values of settings whose text has a form."""


def values_of(each: Any) -> tuple[Any, Any, Any]:
    """Three values of a setting, each other than the one before."""
    if each.name in CHECKED:
        return CHECKED[each.name]
    if choices := choices_of(each):
        one, two, three = (*choices, choices[0])[:3]
        return one, two, three
    least = least_of(each)
    return {
        str: ("a", "b", "c"),
        int: (least + 1, least + 2, least + 3),
        float: (least + 0.25, least + 0.5, least + 0.75),
        bool: (True, False, True),
        tuple: (("a", "b"), ("c",), ("d", "e")),
        Mapping: ({"a": "b"}, {"c": "d", "e": ""}, {"f": "g"}),
    }[basic_type(each)]


def least_of(each: Any) -> Any:
    return TypeAdapter(each.type).json_schema()["minimum"] if basic_type(each) in (int, float) else 0


def words_of(value: Any) -> list[str]:
    """A value as the command line has it, one word a flag."""
    if isinstance(value, dict):
        return [f"{name}={app}" for name, app in value.items()]
    return list(value) if isinstance(value, tuple) else [str(value)]


def flags_of(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag(name) if value else negative_flag(name)]
    return [word for each in words_of(value) for word in (flag(name), each)]


@pytest.mark.slow
@pytest.mark.parametrize("each", SETTINGS, ids=lambda each: each.name)
def test_a_flag_overrides_a_variable_and_that_the_file(
    each: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, variable = each.name, f"OAICOMPAT_{each.name.upper()}"
    in_file, in_variable, in_flag = values_of(each)
    assert (parsed().params[name], value_source(parsed(), name)) == (default_of(each), "default")

    file = tmp_path / "its.toml"
    file.write_text(f"# one\n{name} = {to_toml(in_file)}\n")
    context = parsed("--config", str(file))
    assert (context.params[name], value_source(context, name)) == (in_file, f"file {file}, line 2")

    monkeypatch.setenv(variable, " ".join(words_of(in_variable)))
    context = parsed("--config", str(file))
    assert (context.params[name], value_source(context, name)) == (in_variable, f"environment {variable}")

    context = parsed("--config", str(file), *flags_of(name, in_flag))
    assert (context.params[name], value_source(context, name)) == (in_flag, f"flag {flag(name)}")


def test_the_file_is_named_by_a_flag_or_a_variable_or_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, port in (("oaicompat.toml", 1), ("a.toml", 2), ("b.toml", 3)):
        (tmp_path / name).write_text(f"port = {port}")
    assert parsed().params["port"] == 1
    monkeypatch.setenv("OAICOMPAT_CONFIG", "a.toml")
    assert parsed().params["port"] == 2
    assert parsed("--config", "b.toml").params["port"] == 3


def test_a_list_in_the_file_can_be_empty(tmp_path: Path) -> None:
    (tmp_path / "oaicompat.toml").write_text("demo = true\ntrusted_proxy = []\n")
    assert load_config(parsed()).trusted_proxy == ()


def test_a_model_that_is_in_the_file_may_hold_an_equals_sign(tmp_path: Path) -> None:
    (tmp_path / "oaicompat.toml").write_text('demo = true\n[model]\n"a=b" = "c=d"\n')
    assert load_config(parsed()).model == {"a=b": "c=d"}


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (
            'prefix = "v1"',
            ["--demo"],
            "FILE, line 1: prefix must begin with / and not end with it, not 'v1'",
        ),
        ("demo = true", ["--prefix", "v1"], "--prefix must begin with / and not end with it, not 'v1'"),
        (
            '\nupstream = "http://a"',
            ["--demo"],
            "choose one of --upstream and --demo (upstream is in FILE, line 2)",
        ),
    ],
    ids=["file", "flag", "both"],
)
def test_conflicting_settings_are_reported_with_their_place(
    tmp_path: Path, text: str, arguments: list[str], message: str
) -> None:
    (tmp_path / "oaicompat.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(parsed(*arguments))
    assert str(caught.value) == message.replace("FILE", "oaicompat.toml")


@pytest.mark.parametrize("text", [b"port = \xff", b"port ="])
def test_a_file_that_cannot_be_read_is_an_error_when_it_is_needed(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "oaicompat.toml").write_bytes(text)
    context = parsed("--demo")
    with pytest.raises(ConfigError, match=r"^oaicompat\.toml: (it is|invalid TOML)"):
        load_config(context)


# Without a command line


def test_the_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "UPSTREAM": "http://gateway",
        "MODEL": "gpt-4o=echo mini=",
        "SESSION_FROM": "user x-session-id",
        "KEEP_ALIVE": "2.5",
        "MAX_BODY": "1000",
    }.items():
        monkeypatch.setenv(f"OAICOMPAT_{name}", value)
    assert load_from_environment() == Config(
        upstream="http://gateway",
        model={"gpt-4o": "echo", "mini": ""},
        session_from=("user", "x-session-id"),
        keep_alive=2.5,
        max_body=1000,
    )


def test_the_environment_may_name_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "its.toml"
    file.write_text('upstream = "http://gateway"\nport = 1\n')
    monkeypatch.setenv("OAICOMPAT_CONFIG", str(file))
    monkeypatch.setenv("OAICOMPAT_PORT", "2")
    assert load_from_environment() == Config(upstream="http://gateway", port=2)


@pytest.mark.parametrize(
    ("name", "value", "words"), [("PORT", "web", "port"), ("KEEP_ALIVE", "-1", "--keep-alive"), ("DEMO", "1", "--demo")]
)
def test_what_cannot_be_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv("OAICOMPAT_UPSTREAM", "http://gateway")
    monkeypatch.setenv(f"OAICOMPAT_{name}", value)
    with pytest.raises(ConfigError, match=words) as raised:
        load_from_environment()
    assert "\n" not in str(raised.value)


# Again


def test_what_is_read_again_is_the_file_below_the_same_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "its.toml"
    file.write_text("demo = true\nport = 1\nkeep_alive = 1\nprefix = '/a'\n")
    monkeypatch.setenv("OAICOMPAT_PREFIX", "/b")
    context = parsed("--config", str(file), "--port", "2")
    before = load_config(context)
    file.write_text("demo = true\nport = 3\nkeep_alive = 3\nprefix = '/c'\n")
    assert reload_config(context) == dataclasses.replace(before, keep_alive=3.0)


def test_what_is_read_again_may_be_faulty(tmp_path: Path) -> None:
    file = tmp_path / "oaicompat.toml"
    file.write_text("demo = true")
    context = parsed()
    file.write_text("demo = 1")
    with pytest.raises(ConfigError, match=r"^oaicompat\.toml, line 1: demo must be true or false$"):
        reload_config(context)


def test_without_a_file_the_same_is_read_again() -> None:
    context = parsed("--demo", "--port", "1")
    assert reload_config(context) == load_config(context)


def test_a_single_gateway_is_as_if_it_had_no_table(tmp_path: Path) -> None:
    (tmp_path / "oaicompat.toml").write_text('keep_alive = 1\n[[gateway]]\nupstream = "http://a"\n')
    assert load_config(parsed()) == Config(upstream="http://a", keep_alive=1)


def test_a_gateways_own_wins_over_what_flags_say_for_all(tmp_path: Path) -> None:
    text = '[[gateway]]\nprefix = "/a"\nupstream = "http://a"\n[[gateway]]\nprefix = "/b"\n'
    (tmp_path / "oaicompat.toml").write_text(text)
    gateways = load_config(parsed("--upstream", "http://all", "--prefix", "/all")).gateways
    assert [(each.prefix, each.upstream) for each in gateways] == [("/a", "http://a"), ("/b", "http://all")]


def test_the_demo_is_inspected_unless_somebody_says_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = ("--upstream", "http://gateway")
    assert not load_config(parsed(*upstream)).inspect
    assert load_config(parsed(*upstream, "--inspect")).inspect
    assert load_config(parsed("--demo")).inspect
    refused = parsed("--demo", "--no-inspect")
    assert not load_config(refused).inspect
    assert not reload_config(refused).inspect
    (tmp_path / "no.toml").write_text("demo = true\ninspect = false\n")
    assert not load_config(parsed("--config", str(tmp_path / "no.toml"))).inspect
    monkeypatch.setenv("OAICOMPAT_INSPECT", "false")
    assert not load_config(parsed("--demo")).inspect


@pytest.mark.parametrize(("name", "value"), [("PORT", "web"), ("KEEP_ALIVE", "-1"), ("LOG_LEVEL", "loud")])
def test_an_error_names_the_variable_of_the_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """In a container there is no command line on which to look for the flag."""
    monkeypatch.setenv("OAICOMPAT_UPSTREAM", "http://gateway")
    monkeypatch.setenv(f"OAICOMPAT_{name}", value)
    with pytest.raises(ConfigError, match=rf"\bOAICOMPAT_{name} in the environment"):
        load_from_environment()


def test_the_variable_wins_over_the_file_in_an_error_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "its.toml"
    file.write_text('upstream = "http://gateway"\nkeep_alive = 1\n')
    monkeypatch.setenv("OAICOMPAT_KEEP_ALIVE", "-1")
    with pytest.raises(ConfigError) as raised:
        load_from_environment(file)
    assert "keep_alive is OAICOMPAT_KEEP_ALIVE in the environment" in str(raised.value)
    assert "its.toml" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LOGLEVEL", "LOG_LEVEL"),
        ("API_KEYS", "API_KEY"),
        ("REDIS_URL", "REDIS"),
        ("TZ", ""),
        ("SESION_SECRET", "SESSION_SECRET"),
    ],
)
def test_a_variable_that_is_no_setting_is_found(name: str, meant: str) -> None:
    (said,) = unknown_variables({f"OAICOMPAT_{name}": "a secret", "OAICOMPAT_PORT": "1", "PATH": "/bin"})
    assert f"OAICOMPAT_{name}," in said
    assert said.endswith(f"; did you mean OAICOMPAT_{meant}?" if meant else "no such setting")
    assert "a secret" not in said


def test_the_variables_of_settings_and_of_services_are_no_mistake() -> None:
    of_services = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8700_TCP", "PORT_8700_TCP_ADDR")
    names = [*(variable(each.name) for each in SETTINGS), "OAICOMPAT_CONFIG"]
    assert unknown_variables(dict.fromkeys([*names, *(f"OAICOMPAT_PROXY_{name}" for name in of_services)], "1")) == []
