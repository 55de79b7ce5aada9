"""A client's name for its session, in a header or a body field, and native session keys. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...config.settings import Config
from ...core.caller import Caller
from ...core.errors import InvalidRequest
from ...dialects.protocol import Dialect

DEFAULT_PLACES = ("x-session-id",)
"""The default places; after these the client's API may find a name elsewhere."""

MAX_NAME = 256
"""Characters of a session's name, which may be a native key of the gateway."""


def session_name(
    headers: Mapping[str, str], parameters: Mapping[str, Any], places: Sequence[str], of_client: str = ""
) -> str:
    """The name in the first of `places` that has one; otherwise empty. Raises InvalidRequest if it is too long.

    `headers`: case-insensitive. `parameters`: of the body. `places`: the setting `session_from`. `of_client`: the name
    that the client's API has found, used if the default places have none. Names need no trust, since equal names of
    different callers mean different sessions.
    """
    for place in places:
        name = _look_up(place, headers, parameters)
        if name:
            return _check_length(str(name), place.removeprefix("header:"))
    return _check_length(of_client, "session") if tuple(places) == DEFAULT_PLACES else ""


def _check_length(name: str, place: str) -> str:
    if len(name) > MAX_NAME:
        raise InvalidRequest(
            f"Invalid '{place}': the name of a session may have {MAX_NAME} characters, but got {len(name)}.",
            param=place,
            code="string_above_max_length",
        )
    return name


def _look_up(place: str, headers: Mapping[str, str], parameters: Mapping[str, Any]) -> Any:
    kind, _, header = place.partition(":")
    if kind == "header":
        return headers.get(header)
    if place == "x-session-id":
        return headers.get(place)
    if place == "metadata.session_id":
        return (parameters.get("metadata") or {}).get("session_id")
    return parameters.get(place)


def is_native(config: Config, caller: Caller) -> bool:
    """Whether the names of this caller are the gateway's own session keys."""
    return config.session_names == "native" and (caller.native_sessions or not config.has_keys)


def native_key(dialect: Dialect, app: str, name: str, caller: Caller) -> str:
    """The gateway's own session key. `app`: of the request's model; empty if the name may choose it.

    Raises InvalidRequest for an invalid key, and for the key of an agent that the caller may not use.
    """
    if not name.isprintable():
        raise InvalidRequest(
            "The name of the session must be of printable characters.",
            code="invalid_session",
        )
    chosen = dialect.chosen_app(name)
    if chosen and chosen != app and (app or caller.models):
        raise InvalidRequest(
            "The session belongs to another agent than the model of the request; choose the model of that agent.",
            param="model",
            code="invalid_session",
        )
    return dialect.native_key(app, name)
