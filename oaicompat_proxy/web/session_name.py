"""What a client calls its session: a header of its request, or a field of the body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def session_name(headers: Mapping[str, str], parameters: Mapping[str, Any], places: Iterable[str]) -> str:
    """The name in the first of the places that has one; empty if none has.

    `headers`: looked up without regard to case. `parameters`: of the body. `places`: as the setting `session_from`
    has them; a header needs no trust, since every name is kept apart by the caller's key.
    """
    for place in places:
        name = _look_up(place, headers, parameters)
        if name:
            return str(name)
    return ""


def _look_up(place: str, headers: Mapping[str, str], parameters: Mapping[str, Any]) -> Any:
    kind, _, header = place.partition(":")
    if kind == "header":
        return headers.get(header)
    if place == "x-session-id":
        return headers.get(place)
    if place == "metadata.session_id":
        return (parameters.get("metadata") or {}).get("session_id")
    return parameters.get(place)
