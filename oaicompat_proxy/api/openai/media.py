"""Reads pictures, sounds and files of a user's message: content parts to `Media`.

Content in the body is decoded once, to reject invalid base64 and to count bytes, and is passed on as base64 text. The
media type of a data URL is passed on without its parameters (`;charset=…`). The `detail` of a picture is ignored,
because agents' gateways have no field for it.

Source: `api/openai/PROTOCOL.md`, "Messages"; data URLs RFC 2397 and WHATWG Fetch "data: URL processor".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from ...core.errors import InvalidRequest
from ...core.message import Media
from ..base64_text import decoded_size, normalize
from .invalid_requests import invalid_value, missing

DEFAULT_FILE_TYPE = "application/octet-stream"
MAX_ESCAPES = 100_000
"""Percent signs in one data URL. Decoding them is slow, and clients send large content as base64."""

AUDIO_TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "pcm16": "audio/L16"}
"""Media types that are not `audio/` and the format's name."""

_DATA_SCHEME = "data:"
_WEB_URL = re.compile(r"https?://[^\s/?#]\S*", re.IGNORECASE)


class _Content(NamedTuple):
    data: str
    """Base64 text, padded, without white space."""
    mime_type: str | None


class MediaReader:
    """Reads the parts of one request. `limit`: decoded bytes of all content in the body."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # state
        self._decoded = 0
        self.encoded = 0
        """Characters of base64 text and of data URLs so far."""

    def read(self, part: dict[str, Any], path: str) -> Media:
        """The part at `path`, which has been checked against its schema.

        Raises InvalidRequest that names the field with an invalid address, invalid base64, or too many bytes.
        """
        kind = part["type"]
        return _READERS[kind](self, part[kind], f"{path}.{kind}")

    def read_input(self, part: Mapping[str, Any], path: str) -> Media:
        """`read` for a part of the Responses API, whose fields are members of the part itself."""
        if part["type"] == "input_audio":
            return self._read_audio(part["input_audio"], f"{path}.input_audio")
        if part["type"] == "input_file":
            return self._read_input_file(part, path)
        if part.get("file_id"):
            return Media(kind="image", file_id=part["file_id"])
        if not part.get("image_url"):
            raise missing(f"{path}.image_url")
        return self._read_image_url(part["image_url"], f"{path}.image_url")

    def _read_input_file(self, file: Mapping[str, Any], path: str) -> Media:
        url = file.get("file_url")
        if not url:
            return self._read_file(file, path)
        if not _WEB_URL.fullmatch(url):
            raise invalid_value(f"{path}.file_url", "expected an http(s) URL.")
        return Media(kind="document", url=url, name=file.get("filename"))

    def _read_image(self, image: dict[str, Any], path: str) -> Media:
        return self._read_image_url(image["url"], f"{path}.url")

    def _read_image_url(self, url: str, path: str) -> Media:
        if _WEB_URL.fullmatch(url):
            return Media(kind="image", url=url)
        content = self._parse_data_url(url, path)
        if content is None:
            raise invalid_value(path, "expected an http(s) URL or a data URL.")
        return Media(kind="image", data=content.data, mime_type=content.mime_type)

    def _read_audio(self, audio: dict[str, Any], path: str) -> Media:
        self.encoded += len(audio["data"])
        data, form = self._check_base64(audio["data"], f"{path}.data"), audio["format"]
        return Media(kind="audio", data=data, mime_type=AUDIO_TYPES.get(form, f"audio/{form}"))

    def _read_file(self, file: Mapping[str, Any], path: str) -> Media:
        data, file_id, name = file.get("file_data"), file.get("file_id"), file.get("filename")
        if data and file_id:
            raise invalid_value(path, "expected one of 'file_data' and 'file_id', but got both.")
        if file_id:
            return Media(kind="document", file_id=file_id, name=name)
        if not data:
            raise missing(f"{path}.file_data")
        path = f"{path}.file_data"
        content = self._parse_data_url(data, path)
        if content is None:
            self.encoded += len(data)
            content = _Content(self._check_base64(data, path), None)
        mime_type = content.mime_type or DEFAULT_FILE_TYPE
        return Media(kind="document", data=content.data, mime_type=mime_type, name=name)

    def _parse_data_url(self, url: str, path: str) -> _Content | None:
        """None if it is no data URL."""
        header, comma, body = url.partition(",")
        if not comma or header[: len(_DATA_SCHEME)].lower() != _DATA_SCHEME:
            return None
        self.encoded += len(body)
        media_type, _, parameters = header[len(_DATA_SCHEME) :].partition(";")
        mime_type = media_type.strip().lower() or None
        if parameters.rpartition(";")[2].strip().lower() == "base64":
            text = _unescape(body, path).decode("latin-1") if "%" in body else body
            return _Content(self._check_base64(text, path), mime_type)
        return _Content(self._encode(_unescape(body, path), path), mime_type)

    def _check_base64(self, text: str, path: str) -> str:
        try:
            data = normalize(text)
        except ValueError as exc:
            raise invalid_value(path, "expected base64-encoded data.") from exc
        self._count(decoded_size(data), path)
        return data

    def _encode(self, content: bytes, path: str) -> str:
        self._count(len(content), path)
        return base64.b64encode(content).decode("ascii")

    def _count(self, size: int, path: str) -> None:
        if not size:
            raise invalid_value(path, "the data is empty.")
        self._decoded += size
        if self._decoded > self._limit:
            raise InvalidRequest(
                f"Invalid '{path}': the request's pictures, sounds and files are too large. "
                f"Expected at most {self._limit} bytes together.",
                param=path,
                code="media_above_max_size",
            )


_READERS: Mapping[str, Callable[[MediaReader, dict[str, Any], str], Media]] = {
    "image_url": MediaReader._read_image,
    "input_audio": MediaReader._read_audio,
    "file": MediaReader._read_file,
}


def _unescape(text: str, path: str) -> bytes:
    if text.count("%") > MAX_ESCAPES:
        raise invalid_value(path, "too many percent-encoded bytes. Send the data as base64.")
    return unquote_to_bytes(text)
