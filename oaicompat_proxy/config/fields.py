"""Declares and checks settings: dataclass fields with help text, choices and bounds. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from ..core.addresses import is_loopback, parse_networks
from ..core.origins import is_host_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class ConfigError(ValueError):
    """An invalid setting. The message is one line for the person who starts the proxy."""


def field(default: Any, text: str, **more: Any) -> Any:
    """A dataclass field of a setting, with its help text; `metavar`, `choices` and `secret` are for the command line.

    `gateway`: each gateway may have its own value. `model`: each model may. `reload`: the value can change without a
    restart; the default is that of `gateway`.
    """
    metadata = {"help": text, "reload": more.get("gateway", False), **more}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def flag(name: str) -> str:
    """The name of a setting on the command line."""
    return "--" + name.replace("_", "-")


MAX_NUMBER = 2**53
"""The largest number of any setting, which clocks, counters and JSON can represent."""

_CONTROL_CHARACTER = re.compile("[\x00-\x1f\x7f]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_HEADER_VALUE = re.compile("[\x21-\x7e]*")


def _texts_in(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        return (*value, *value.values())
    return [each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, str)]


def validation_error(each: Field[Any], value: Any) -> str:
    """The error in a value, to follow the setting's name in a message; empty if the value is valid."""
    if isinstance(value, int | float) and abs(value) > MAX_NUMBER:
        return f"must be at most {MAX_NUMBER}"
    for text in _texts_in(value):
        if _CONTROL_CHARACTER.search(text) and each.name != "tick_separator":
            return "must not hold line ends or other control characters"
        if _LONE_SURROGATE.search(text) and each.name != "api_key":  # a key may be of any bytes
            return "must be text in UTF-8"
        if each.metadata.get("header") and not _HEADER_VALUE.fullmatch(text):
            return "must be of printable ASCII characters without spaces: it is sent in a header"
    choices, least, most = (each.metadata.get(key) for key in ("choices", "least", "most"))
    for word in value if isinstance(value, tuple) else (value,):
        if choices and word not in choices:
            return f"must be one of {', '.join(choices)}, not {word!r}"
    if least is not None and not value >= least:
        return f"must be at least {least}, not {value}"
    if most is not None and value > most:
        return f"must be at most {most}, not {value}"
    return ""


def check_field(each: Field[Any], value: Any) -> None:
    """Raises ConfigError."""
    if error := validation_error(each, value):
        raise ConfigError(f"{flag(each.name)} {error}")


def parse_model_settings(settings: Mapping[str, str], config: type[DataclassInstance]) -> dict[str, dict[str, Any]]:
    """Overrides by name or pattern of a model. `config`: the class with the fields. Raises ConfigError."""
    overrides: dict[str, dict[str, Any]] = {}
    known = {each.name: each for each in fields(config) if each.metadata.get("model")}
    for key, text in settings.items():
        model, _, name = key.rpartition(":")
        if not model:
            raise ConfigError(f"--model-setting must be of the form MODEL:SETTING=VALUE, not {key!r}")
        if name not in known:
            raise ConfigError(f"--model-setting {key}: a model has no {name} of its own, only {', '.join(known)}")
        try:
            value = _PARSERS[str(known[name].type)](text)
        except ValueError:
            raise ConfigError(f"--model-setting {key} must be a number, not {text!r}") from None
        if error := validation_error(known[name], value):
            raise ConfigError(f"--model-setting {key} {error}")
        overrides.setdefault(model, {})[name] = value
    return overrides


_PARSERS: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}


def check_networks(name: str, networks: tuple[str, ...]) -> None:
    try:
        parse_networks(networks)
    except ValueError as error:
        raise ConfigError(f"{flag(name)} must be an address or a network: {error}") from None


SESSION_FIELDS = ("user", "prompt_cache_key", "metadata.session_id")
"""Fields of a request's body that may name its session."""

_SESSION_HEADER = re.compile(r"x-session-id|header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")


def check_session_sources(places: tuple[str, ...]) -> None:
    """Raises ConfigError for an unknown place, and for `none` together with others."""
    for place in places:
        if place != "none" and place not in SESSION_FIELDS and not _SESSION_HEADER.fullmatch(place):
            known = ", ".join(("x-session-id", "header:NAME", *SESSION_FIELDS, "none"))
            raise ConfigError(f"--session-from must be one of {known}, not {place!r}")
    if "none" in places and len(places) > 1:
        raise ConfigError("--session-from none leaves no room for other places")


def check_hosts(hosts: tuple[str, ...]) -> None:
    """Raises ConfigError for a value that cannot be the name in a `Host` header."""
    for host in hosts:
        if not is_host_name(host):
            raise ConfigError(
                f"--allowed-host must be a name such as ai.example.com, without http:// and port: {host!r}"
            )


class CallerSettings(Protocol):
    """The settings that control access."""

    @property
    def api_key(self) -> tuple[str, ...]: ...

    @property
    def has_keys(self) -> bool: ...

    @property
    def no_auth(self) -> bool: ...

    @property
    def unix_socket(self) -> str: ...

    @property
    def host(self) -> str: ...


def check_callers(config: CallerSettings) -> None:
    """Raises ConfigError for invalid keys, and for an address that others can reach without a key by mistake."""
    if not all(config.api_key):
        raise ConfigError("--api-key must not be empty")
    if config.has_keys and config.no_auth:
        raise ConfigError("choose between keys and --no-auth")
    if not (config.has_keys or config.no_auth or config.unix_socket or is_loopback(config.host)):
        raise ConfigError(
            f"others can reach {config.host or 'every address'}: give keys with --api-key or --api-keys-file, "
            "or say --no-auth"
        )


def check_url(url: str, option: str) -> None:
    if url.startswith("unix:"):
        if not re.fullmatch(r"unix:/[^\0?#]*[^\0?#/]", url):
            raise ConfigError(f"{option} must name a socket file by its whole path, such as unix:/run/x, not {url!r}")
        return
    if "@" in url:  # checked first, because the other messages quote the address
        raise ConfigError(f"{option} must not hold a password; give the gateway's token with --upstream-token")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{option} must be an http://, https:// or unix:/ address, not {url!r}")
    if parts.query or parts.fragment:
        raise ConfigError(f"{option} must be a base address, without ? and #")


def check_dialect(dialect: str, agents: Iterable[str], *, demo: bool, sessions: str) -> None:
    """Raises ConfigError for settings that need a gateway, with a dialect of agents. `agents`: their addresses."""
    if dialect == "agentick":
        return
    if demo:
        raise ConfigError(f"--demo speaks agentick, not {dialect}")
    if sessions != "fresh":
        raise ConfigError(
            f"--sessions {sessions} needs a gateway that keeps sessions; an agent that speaks {dialect} "
            "gets the whole conversation each time"
        )
    for agent in agents:
        if "://" in agent:
            check_url(agent, "--model")
