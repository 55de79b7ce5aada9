"""The types of settings. pydantic checks a value by its type; `fields.validate` words the errors.

The text of a ValueError follows the name of the setting in a message, so it begins with a verb.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from ..core.addresses import parse_networks
from ..core.model_info import MODALITIES
from ..core.origins import is_host_name, names_origins

MAX_NUMBER = 2**53
"""The largest number of a setting: clocks, counters and JSON represent it exactly."""

_CONTROL_CHARACTER = re.compile("[\x00-\x1f\x7f]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

SESSION_FIELDS = ("user", "prompt_cache_key", "metadata.session_id")
"""Fields of a request's body that may name its session."""

USER_FIELDS = ("user", "safety_identifier")
"""Fields of a request's body that may name its user."""

_USER_PLACE = re.compile(r"header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}|jwt:[\x21-\x7e]{1,256}")
_SESSION_HEADER = re.compile(r"x-session-id|header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")


def _matching(pattern: str, error: str) -> AfterValidator:
    """The whole text must match the pattern. `{!r}` in `error` stands for the text."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(error.format(text))
        return text

    return AfterValidator(check)


def _checked(check: Callable[[str], None]) -> AfterValidator:
    """Accepts a text for which `check` raises no ValueError."""

    def checked(text: str) -> str:
        check(text)
        return text

    return AfterValidator(checked)


def _check_unicode(text: str) -> None:
    if _LONE_SURROGATE.search(text):
        raise ValueError("must be text in UTF-8")


def _check_control_characters(text: str) -> None:
    if _CONTROL_CHARACTER.search(text):
        raise ValueError("must not hold line ends or other control characters")


def check_url(url: str) -> None:
    """Raises ValueError for a text that is no base address of a gateway or an agent. The error quotes no password."""
    if url.startswith("unix:"):
        if not re.fullmatch(r"unix:/[^\0?#]*[^\0?#/]", url):
            raise ValueError(f"must name a socket file by its whole path, such as unix:/run/x, not {url!r}")
        return
    if "@" in url:  # checked first, because the other messages quote the address
        raise ValueError("must not hold a password; give the gateway's token with --upstream-token")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"must be an http://, https:// or unix:/ address, not {url!r}")
    if parts.query or parts.fragment:
        raise ValueError("must be a base address, without ? and #")


def _check_optional_url(url: str) -> None:
    if url:
        check_url(url)


def _check_web_url(url: str) -> None:
    _check_optional_url(url)
    if url.startswith("unix:"):
        raise ValueError("must be an http:// or https:// address")


def _check_prefix(prefix: str) -> None:
    if prefix and not (prefix.startswith("/") and not prefix.endswith("/")):
        raise ValueError(f"must begin with / and not end with it, not {prefix!r}")


def _check_network(network: str) -> None:
    try:
        parse_networks([network])
    except ValueError as error:
        raise ValueError(f"must be an address or a network: {error}") from None


def _check_host_name(name: str) -> None:
    if not is_host_name(name):
        raise ValueError(f"must be a name such as ai.example.com, without http:// and port: {name!r}")


def _check_origins(text: str) -> None:
    if not names_origins(text):
        raise ValueError(f"must be origins such as https://app.example.com, with https://, or *: {text!r}")


def _check_session_place(place: str) -> None:
    if place != "none" and place not in SESSION_FIELDS and not _SESSION_HEADER.fullmatch(place):
        known = ", ".join(("x-session-id", "header:NAME", *SESSION_FIELDS, "none"))
        raise ValueError(f"must be one of {known}, not {place!r}")


def _only_none(places: tuple[str, ...]) -> tuple[str, ...]:
    if "none" in places and len(places) > 1:
        raise ValueError("must not have other places beside none")
    return places


def _check_user_place(place: str) -> None:
    if place not in USER_FIELDS and not _USER_PLACE.fullmatch(place):
        known = ", ".join(("header:NAME", *USER_FIELDS, "jwt:CLAIM"))
        raise ValueError(f"must be one of {known}, not {place!r}")


def _check_model_name(name: str) -> None:
    if not name:
        raise ValueError("needs a name in front of the =")


def _check_modality(name: str) -> None:
    if name not in MODALITIES:
        raise ValueError(f"must be of {', '.join(MODALITIES)}, not {name!r}")


def _not_empty(items: tuple[str, ...]) -> tuple[str, ...]:
    if not items:
        raise ValueError("must not be empty")
    return items


def _as_list(value: object) -> object:
    """One text stands for a list of one, as in earlier releases."""
    return (value,) if isinstance(value, str) else value


_NOT_EMPTY = _matching(r"(?s).+", "must not be empty")

WholeNumber = Annotated[int, Strict(), Field(le=MAX_NUMBER)]
Count = Annotated[WholeNumber, Field(ge=0)]
PositiveCount = Annotated[WholeNumber, Field(ge=1)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False, le=MAX_NUMBER)]
Seconds = Annotated[Number, Field(ge=0)]
PositiveSeconds = Annotated[Number, Field(ge=0.001)]
Switch = Annotated[bool, Strict()]

Separator = Annotated[str, Strict(), _checked(_check_unicode)]
"""A text that may hold line ends."""
Key = Annotated[str, Strict(), _checked(_check_control_characters), _NOT_EMPTY]
"""A key of any bytes: those that are not UTF-8 are surrogates, as `os.environ` decodes them."""
Text = Annotated[Separator, _checked(_check_control_characters)]
HeaderValue = Annotated[
    Text, _matching("[\x21-\x7e]*", "must be of printable ASCII characters without spaces: it is sent in a header")
]
Url = Annotated[Text, _checked(_check_optional_url)]
WebUrl = Annotated[Text, _checked(_check_web_url)]
PathPrefix = Annotated[
    Text,
    _matching(r"[\w.~/-]*", "must be of ASCII letters, digits and _ . ~ - / only, not {!r}"),
    _checked(_check_prefix),
]
BindAddress = Annotated[Text, _matching("[\x21-\x7e]{0,253}", "must be an address, or a name of ASCII characters")]
FileMode = Annotated[Text, _matching("[0-7]{3}", "must be three octal digits, such as 660, not {!r}")]

SideRequests = Annotated[Text, _matching(r"run|answer|model:.+", "must be run, answer or model:NAME, not {!r}")]

Keys = tuple[Key, ...]
Texts = Annotated[tuple[Annotated[Text, _NOT_EMPTY], ...], BeforeValidator(_as_list)]
Secrets = Texts
Networks = tuple[Annotated[Text, _checked(_check_network)], ...]
Origins = Annotated[Text, _checked(_check_origins)]
HostNames = tuple[Annotated[Text, _checked(_check_host_name)], ...]
SessionPlaces = Annotated[tuple[Annotated[Text, _checked(_check_session_place)], ...], AfterValidator(_only_none)]
UserPlaces = Annotated[tuple[Annotated[Text, _checked(_check_user_place)], ...], BeforeValidator(_as_list)]
ModelNames = Mapping[Annotated[Text, _checked(_check_model_name)], Text]
ModelSettings = Mapping[Text, Separator]
Modalities = Annotated[tuple[Annotated[Text, _checked(_check_modality)], ...], AfterValidator(_not_empty)]
