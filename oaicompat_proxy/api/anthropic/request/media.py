"""Reads pictures and documents of a request into `Media`. Content in the body is checked and stays base64 text.

Source: `api/anthropic/PROTOCOL.md`, "Request": `image` and `document` with the sources `base64`, `url` and `file`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from ....core.errors import InvalidRequest
from ....core.message import Media
from ...base64_text import decoded_size, normalize
from .validation import fault

_WEB_URL = re.compile(r"https?://[^\s/?#]\S*", re.IGNORECASE)


class MediaReader:
    """Reads the sources of one request. `limit`: decoded bytes of all content in the body."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # state
        self._decoded = 0
        self.encoded = 0
        """Characters of base64 text so far."""

    def read(
        self, kind: Literal["image", "document"], source: Mapping[str, Any], path: str, name: str | None = None
    ) -> Media:
        """`source`: at `path`, checked against its schema, of the type `base64`, `url` or `file`.

        Raises InvalidRequest that names the field with an invalid address, invalid base64, or too many bytes.
        """
        if source["type"] == "file":
            return Media(kind=kind, file_id=source["file_id"], name=name)
        if source["type"] == "url":
            if not _WEB_URL.fullmatch(source["url"]):
                raise fault(f"{path}.url", "Input should be an http(s) URL")
            return Media(kind=kind, url=source["url"], name=name)
        self.encoded += len(source["data"])
        data = self._check_base64(source["data"], f"{path}.data")
        return Media(kind=kind, data=data, mime_type=source["media_type"].lower(), name=name)

    def _check_base64(self, text: str, path: str) -> str:
        try:
            data = normalize(text)
        except ValueError as exc:
            raise fault(path, "Input should be base64-encoded data") from exc
        self._count(decoded_size(data), path)
        return data

    def _count(self, size: int, path: str) -> None:
        if not size:
            raise fault(path, "the data is empty")
        self._decoded += size
        if self._decoded > self._limit:
            raise InvalidRequest(
                f"{path}: the request's pictures and documents are too large; this server takes at most "
                f"{self._limit} bytes together.",
                param=path,
                code="media_above_max_size",
            )
