"""Decodes a frame's bytes into the JSON object of an event."""

from __future__ import annotations

import json

import orjson

from ...core.errors import UpstreamError
from .fields import Data


def decode(frame: bytes) -> Data:
    """Raises UpstreamError if it is not an event. Lone surrogates are kept: the next delta may have the other half."""
    try:
        data = orjson.loads(frame)
    except orjson.JSONDecodeError:
        data = _decode_leniently(frame)
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise UpstreamError("The agent sent an event without a type.")
    return data


def _decode_leniently(frame: bytes) -> object:
    try:
        return json.loads(frame.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise UpstreamError("The agent sent an event that is no JSON.") from None
