from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest
from pydantic import TypeAdapter

from oaicompat_proxy.config.fields import basic_type, choices_of
from oaicompat_proxy.config.settings import SETTINGS, Config, ConfigError, flag


def made(**settings: Any) -> Config:
    """A config of any settings, in front of the demo."""
    return Config(**{"demo": True, **settings})


NUMBERS = [each for each in SETTINGS if basic_type(each) in (int, float)]


def test_every_setting_says_what_it_is_for() -> None:
    assert [each.name for each in SETTINGS if len(each.metadata["help"]) < 15] == []


def test_every_setting_but_what_to_front_has_a_default_that_can_be() -> None:
    assert Config(upstream="http://127.0.0.1:18790").port == 8700
    assert Config(demo=True).upstream == ""


def test_a_config_does_not_change() -> None:
    config = Config(demo=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 1  # type: ignore[misc]


def test_a_flag_is_the_field_with_dashes() -> None:
    assert flag("first_event_wait") == "--first-event-wait"


@pytest.mark.parametrize("settings", [{}, {"demo": True, "upstream": "http://127.0.0.1:1"}])
def test_exactly_one_thing_is_fronted(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"--upstream.*--demo"):
        Config(**settings)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:18790",
        "http://gateway",
        "https://gateway.example/agents",
        "http://[::1]:18790/",
        "http://gateway/a%20b",
    ],
)
def test_a_gateways_address_is_a_base_of_http(url: str) -> None:
    assert Config(upstream=url).upstream == url


@pytest.mark.parametrize(
    "url",
    [
        "gateway",
        "gateway:18790",
        "//gateway",
        "ws://gateway",
        "http://",
        "http://:18790",
        "http://gateway:0",
        "http://gateway:99999",
        "http://gateway:port",
        "http://[::1",
        "http://gateway/?app=x",
        "http://gateway/#x",
    ],
)
def test_anything_else_is_no_gateways_address(url: str) -> None:
    with pytest.raises(ConfigError, match="--upstream"):
        Config(upstream=url)


@pytest.mark.parametrize("each", NUMBERS, ids=lambda each: each.name)
def test_a_number_has_a_least_value_that_can_be_and_less_cannot(each: dataclasses.Field[Any]) -> None:
    least = TypeAdapter(each.type).json_schema()["minimum"]
    assert getattr(made(**{each.name: least}), each.name) == least
    with pytest.raises(ConfigError, match=f"{flag(each.name)} must be at least"):
        made(**{each.name: least - 1})


@pytest.mark.parametrize("each", [each for each in NUMBERS if basic_type(each) is float], ids=lambda each: each.name)
def test_a_time_is_a_number(each: dataclasses.Field[Any]) -> None:
    for value in (float("nan"), float("inf"), 1e20):
        with pytest.raises(ConfigError, match=f"{flag(each.name)} must be a"):
            made(**{each.name: value})


@pytest.mark.parametrize("port", [0, 1, 65535])
def test_a_port_is_sixteen_bits(port: int) -> None:
    assert Config(demo=True, port=port).port == port
    with pytest.raises(ConfigError, match="--port must be at most 65535"):
        Config(demo=True, port=65536)


@pytest.mark.parametrize("each", [each for each in SETTINGS if choices_of(each)], ids=lambda e: e.name)
def test_a_choice_is_one_of_those_that_are_named(each: dataclasses.Field[Any]) -> None:
    for choice in choices_of(each):
        Config(**{"upstream": "http://127.0.0.1:1", each.name: choice})
    with pytest.raises(ConfigError, match=f"{flag(each.name)} must be one of"):
        made(**{each.name: "other"})


@pytest.mark.parametrize("prefix", ["", "/v1", "/a/b"])
def test_a_prefix_begins_a_path(prefix: str) -> None:
    assert Config(demo=True, prefix=prefix).prefix == prefix


@pytest.mark.parametrize("prefix", ["v1", "/v1/", "/", "http://x/v1"])
def test_anything_else_is_no_prefix(prefix: str) -> None:
    with pytest.raises(ConfigError, match="--prefix"):
        Config(demo=True, prefix=prefix)


def test_a_model_needs_a_name_but_no_app() -> None:
    assert Config(demo=True, model={"any": ""}).model == {"any": ""}
    with pytest.raises(ConfigError, match="--model"):
        Config(demo=True, model={"": "app"})


def test_configs_do_not_share_their_models() -> None:
    assert Config(demo=True).model is not Config(demo=True).model


EVERYBODY = ["0.0.0.0", "::", "", "192.0.2.1", "proxy"]


@pytest.mark.parametrize("host", EVERYBODY)
def test_where_others_can_reach_it_keys_are_needed_or_said_to_be_none(host: str) -> None:
    with pytest.raises(ConfigError, match=r"--api-key .*--no-auth"):
        made(host=host)
    assert made(host=host, no_auth=True).host == host
    assert made(host=host, api_key=("k",)).host == host
    assert made(host=host, api_keys_file="keys.toml").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_the_loopback_none_are_needed(host: str) -> None:
    assert not made(host=host).has_keys


def test_keys_and_none_cannot_both_be_said() -> None:
    with pytest.raises(ConfigError, match="--no-auth"):
        made(api_key=("k",), no_auth=True)


def test_a_key_is_not_empty() -> None:
    with pytest.raises(ConfigError, match="--api-key"):
        made(api_key=("k", ""))


@pytest.mark.parametrize("network", ["nginx", "10.0.0.0/99", ""])
def test_a_trusted_proxy_is_an_address(network: str) -> None:
    with pytest.raises(ConfigError, match="--trusted-proxy"):
        made(trusted_proxy=(network,))
    assert made(trusted_proxy=("10.0.0.0/8", "::1")).trusted_proxy == ("10.0.0.0/8", "::1")


def test_a_message_for_a_person_is_one_line() -> None:
    with pytest.raises(ConfigError) as raised:
        Config(upstream="http://gateway/\n?x")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["http://ann:hush@gateway", "ann:hush@gateway", "ftp://hush@gateway", "http://ann:hush@gateway:port"]
)
def test_a_password_in_the_gateways_address_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match="--upstream-token") as caught:
        Config(upstream=url)
    assert "hush" not in str(caught.value)


AG_UI = {"dialect": "ag-ui", "upstream": "http://127.0.0.1:8000/"}


def test_agents_without_a_gateway_have_addresses() -> None:
    model = {"pilot": "https://harbor.example/pilot", "sonar": "agents/sonar", "base": ""}
    assert Config(**AG_UI, model=model).model == model


@pytest.mark.parametrize("app", ["ftp://harbor.example", "http://", "https://me:secret@harbor.example", "http://x/?y"])
def test_an_address_that_cannot_be_is_refused(app: str) -> None:
    with pytest.raises(ConfigError, match="--model must"):
        Config(**AG_UI, model={"pilot": app})


def test_what_needs_a_gateway_is_refused_without_one() -> None:
    with pytest.raises(ConfigError, match=r"--sessions recognise needs a gateway"):
        Config(**AG_UI, sessions="recognise")
    with pytest.raises(ConfigError, match=r"--demo speaks agentick"):
        made(dialect="ag-ui")


@pytest.mark.parametrize("url", ["unix:/run/gateway.sock", "unix:/tmp/a b"])
def test_a_gateway_may_listen_on_a_file(url: str) -> None:
    assert Config(upstream=url).upstream == url


@pytest.mark.parametrize("url", ["unix:", "unix:/", "unix:run/gateway.sock", "unix:/run/", "unix:/run/x?y"])
def test_a_file_is_named_by_its_whole_path(url: str) -> None:
    with pytest.raises(ConfigError, match="--upstream"):
        Config(upstream=url)


@pytest.mark.parametrize("mode", ["", "66", "0660", "888", "rw-"])
def test_a_mode_is_three_octal_digits(mode: str) -> None:
    with pytest.raises(ConfigError, match="--unix-socket-mode"):
        Config(demo=True, unix_socket_mode=mode)


def test_the_demo_agent_has_one_process() -> None:
    with pytest.raises(ConfigError, match=r"--demo.*--workers"):
        Config(demo=True, workers=2)


@pytest.mark.parametrize("places", [("none",), ("header:X-OpenWebUI-Chat-Id", "header:session-id", "user"), ()])
def test_a_session_may_be_named_in_any_header_or_nowhere(places: tuple[str, ...]) -> None:
    assert made(session_from=places).session_from == places


@pytest.mark.parametrize(
    "places", [("nowhere",), ("header:",), ("header:a b",), ("header:a\r\nb",), ("user", "none"), ("X-Session-Id",)]
)
def test_a_place_that_no_request_has_names_no_session(places: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"--session-from"):
        made(session_from=places)


WRONG_TYPES = {
    str: [1, None, ("a",)],
    int: [True, 1.0, "1", None],
    float: [True, "1", None],
    bool: [1, "true", None],
    tuple: [1, (1,), {"a": "b"}],
    Mapping: ["a=b", {"a": 1}, {1: "a"}, ("a",)],
}


@pytest.mark.parametrize("each", SETTINGS, ids=lambda each: each.name)
def test_a_value_of_another_type_is_refused_in_one_line(each: dataclasses.Field[Any]) -> None:
    for value in WRONG_TYPES[basic_type(each)]:
        with pytest.raises(ConfigError, match=f"^{flag(each.name)} must be [^\n]*$"):
            made(**{each.name: value})


SECRETS = [each for each in SETTINGS if each.metadata.get("secret")]


@pytest.mark.parametrize("each", SECRETS, ids=lambda each: each.name)
@pytest.mark.parametrize("value", ["hush\n", "hush \udc80\x7f", ["hush"], {"hush": "hush"}, b"hush"], ids=repr)
def test_no_error_quotes_a_secret(each: dataclasses.Field[Any], value: Any) -> None:
    several = basic_type(each) is tuple
    with pytest.raises(ConfigError, match=flag(each.name)) as caught:
        made(**{each.name: (value,) if several else value})
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_separator_and_a_models_separator_may_hold_line_ends() -> None:
    assert made(tick_separator="\n").tick_separator == "\n"
    assert made(model_setting={"a:tick_separator": "\n"}).model_setting == {"a:tick_separator": "\n"}


def test_the_sections_are_all_settings_in_the_order_of_the_table() -> None:
    names = [each.name for section in reversed(Config.__bases__) for each in fields(section)]
    assert names == [each.name for each in SETTINGS]
    assert (names[0], names[-1]) == ("upstream", "record_total")


def test_a_token_of_ours_opens_the_gateway_beside_the_clients() -> None:
    assert made(pass_authorization=True).only_client_credentials
    assert not made(pass_authorization=True, upstream_token="ours").only_client_credentials
    assert not made().only_client_credentials
