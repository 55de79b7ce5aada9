"""The details of one run beside its frames and events: the request, the turn, the error. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...core.errors import ProxyError
from ...core.recorded_fields import RecordedFields
from ...recordings.masked_text import mask_text
from ...recordings.masking import mask
from .masks import mask_headers, mask_request

MAX_BODY = 1024 * 1024
"""Bytes of a request that are shown."""

Json = dict[str, Any]


class Shown:
    """Shows texts always without secrets, and masked unless `content`."""

    def __init__(self, *, content: bool, secrets: Sequence[str] = ()) -> None:
        self.content = content
        self.secrets = [each for each in secrets if each]

    def body(self, data: bytes) -> Json:
        """A request's JSON."""
        return {
            "text": self._bytes(data[:MAX_BODY], mask_request),
            "bytes": len(data),
            "whole": len(data) <= MAX_BODY,
        }

    def answer(self, data: bytes, fields: RecordedFields) -> str:
        """An answer to a client."""
        return self._bytes(data, lambda each: mask(each, fields))

    def headers(self, headers: Mapping[str, str]) -> Json:
        return {name: self.plain(value) for name, value in (headers if self.content else mask_headers(headers)).items()}

    def name(self, text: str) -> str:
        """A name that a client chose."""
        return self.plain(text if self.content else mask_text(text))

    def plain(self, text: str) -> str:
        """A text that is never masked, such as an error message."""
        for secret in self.secrets:
            text = text.replace(secret, "[redacted]")
        return text.encode("utf-8", "replace").decode()

    def _bytes(self, data: bytes, masked: Callable[[bytes], bytes]) -> str:
        return self.plain((data if self.content else masked(data)).decode("utf-8", "replace"))


def error_json(failure: ProxyError) -> Json:
    """An error of the inspector's own API."""
    return {"error": {"code": failure.code, "message": failure.message}}
