"""How a setting is written down and checked: a field with its help, its choices and its bounds. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, field, fields
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from ..core.addresses import is_loopback, parse_networks
from ..core.origins import is_host_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class ConfigError(ValueError):
    """A setting that cannot be: the message is one line for the person who starts the proxy."""


def setting(default: Any, text: str, **more: Any) -> Any:
    """A field with its help text; `metavar`, `choices` and `secret` as the command line needs them.

    `gateway`: each of several gateways may have its own. `model`: each model may. `reload`: it can change while the
    proxy serves; by default what is a gateway's can.
    """
    metadata = {"help": text, "reload": more.get("gateway", False), **more}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def flag(name: str) -> str:
    """The command line's spelling of a field."""
    return "--" + name.replace("_", "-")


LARGEST = 2**53
"""Of all numbers: every clock and every counter can hold it, and JSON too."""

_CONTROLS = re.compile("[\x00-\x1f\x7f]")
_HALVES = re.compile("[\ud800-\udfff]")
_HEADER_WORD = re.compile("[\x21-\x7e]*")


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        return (*value, *value.values())
    return [each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, str)]


def fault_of(each: Field[Any], value: Any) -> str:
    """What is wrong with it, to be read behind the setting's name; empty if nothing is."""
    if isinstance(value, int | float) and abs(value) > LARGEST:
        return f"must be at most {LARGEST}"
    for text in _texts(value):
        if _CONTROLS.search(text) and each.name != "tick_separator":
            return "must not hold line ends or other control characters"
        if _HALVES.search(text) and each.name != "api_key":  # a key may be of any bytes
            return "must be text in UTF-8"
        if each.metadata.get("header") and not _HEADER_WORD.fullmatch(text):
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


def check(each: Field[Any], value: Any) -> None:
    """Raises ConfigError."""
    if fault := fault_of(each, value):
        raise ConfigError(f"{flag(each.name)} {fault}")


def parse_model_settings(settings: Mapping[str, str], config: type[DataclassInstance]) -> dict[str, dict[str, Any]]:
    """Name or pattern of a model → what it has of its own. `config`: has the fields. Raises ConfigError."""
    own: dict[str, dict[str, Any]] = {}
    known = {each.name: each for each in fields(config) if each.metadata.get("model")}
    for key, text in settings.items():
        model, _, name = key.rpartition(":")
        if not model:
            raise ConfigError(f"--model-setting must be of the form MODEL:SETTING=VALUE, not {key!r}")
        if name not in known:
            raise ConfigError(f"--model-setting {key}: a model has no {name} of its own, only {', '.join(known)}")
        try:
            value = _READERS[str(known[name].type)](text)
        except ValueError:
            raise ConfigError(f"--model-setting {key} must be a number, not {text!r}") from None
        if fault := fault_of(known[name], value):
            raise ConfigError(f"--model-setting {key} {fault}")
        own.setdefault(model, {})[name] = value
    return own


_READERS: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}


def check_networks(name: str, networks: tuple[str, ...]) -> None:
    try:
        parse_networks(networks)
    except ValueError as error:
        raise ConfigError(f"{flag(name)} must be an address or a network: {error}") from None


SESSION_FIELDS = ("user", "prompt_cache_key", "metadata.session_id")
"""Fields of a request's body that may name its session."""

_SESSION_HEADER = re.compile(r"x-session-id|header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")


def check_session_places(places: tuple[str, ...]) -> None:
    """Raises ConfigError for a place that no request has, and for `none` beside others."""
    for place in places:
        if place != "none" and place not in SESSION_FIELDS and not _SESSION_HEADER.fullmatch(place):
            known = ", ".join(("x-session-id", "header:NAME", *SESSION_FIELDS, "none"))
            raise ConfigError(f"--session-from must be one of {known}, not {place!r}")
    if "none" in places and len(places) > 1:
        raise ConfigError("--session-from none leaves no room for other places")


def check_hosts(hosts: tuple[str, ...]) -> None:
    """Raises ConfigError for what no `Host` header can name."""
    for host in hosts:
        if not is_host_name(host):
            raise ConfigError(
                f"--allowed-host must be a name such as ai.example.com, without http:// and port: {host!r}"
            )


class CallerSettings(Protocol):
    """What says who may call."""

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
    """Raises ConfigError for keys that cannot be, and where everybody could come in without one by mistake."""
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
    if "@" in url:  # before all else: what is said of an address quotes it
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


def check_agents(dialect: str, agents: Iterable[str], *, demo: bool, sessions: str) -> None:
    """What cannot be where agents themselves are called, and no gateway. `agents`: their addresses."""
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
