"""Malformed requests: the error for the client, and the parts of the first line that the log may show.

Source: RFC 9112 sections 2.3 (versions), 3 (request line) and 6.1 (transfer codings); RFC 9110 section 15.5.14 (413).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from ...core.errors import BodyTooLarge, InvalidRequest, ProxyError, TransferCodingNotSupported, VersionNotSupported
from .client_api import PATHS

MAX_KEPT_HEAD = 16 * 1024
"""Bytes of an incomplete head that are kept, to find the reason if it is malformed."""

SUPPORTED_VERSIONS = (HttpVersion11, HttpVersion10)

UNREADABLE = "We could not read your request: it is not HTTP as this server speaks it, or a header is too long."
"""The message of all other errors; aiohttp's own quotes the request, which may contain a key."""

_LINE = re.compile(
    rb"(?:(?P<method>[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (?:(?P<path>/[!->@-~]*|\*)(?=[ ?]))?[^\r\n]* HTTP/"
    rb"|(?P<known>GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT) (?:(?P<known_path>/[!->@-~]*)(?=[ ?]|$))?)"
)
"""The parts of a first line that may be shown. Other bytes may be the rest of a body, with a prompt or a key in it."""

_SERVED = "|".join(map(re.escape, (*PATHS, "/models", "/healthz", "/readyz", "/metrics", "/")))
_SHOWN = re.compile(rf"(?:/v[0-9])?(?:{_SERVED})|\*".encode())
"""Paths that may be shown; any other may contain a key."""

_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_CODINGS = re.compile(rb"^transfer-encoding:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_LENGTHS = re.compile(rb"^content-length:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_UNKNOWN = "-"


class _FirstLine(NamedTuple):
    method: str
    path: str
    version: tuple[int, int] | None


def _read_first_line(head: bytes) -> _FirstLine:
    line = re.split(rb"[\r\n]", head.lstrip(b"\r\n"), maxsplit=1)[0]
    words = line.split(b" ")
    version = _VERSION.fullmatch(words[2]) if len(words) == 3 else None
    shown = _LINE.match(line)
    method, path = (shown["method"] or shown["known"], shown["path"] or shown["known_path"]) if shown else (None, None)
    return _FirstLine(
        method.decode() if method else _UNKNOWN,
        path.decode() if path and _SHOWN.fullmatch(path) else _UNKNOWN,
        (int(version[1]), int(version[2])) if version else None,
    )


def message_of(head: bytes) -> RawRequestMessage:
    """A placeholder for the request, for its response and its log line."""
    method, path, _ = _read_first_line(head)
    headers: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
    url = URL.build(path=path, encoded=True)
    return RawRequestMessage(method, path, HttpVersion11, headers, (), True, None, False, False, url)


def error_of_head(head: bytes, max_body: int) -> ProxyError:
    """The error for a head that aiohttp cannot parse. `head`: its bytes, up to MAX_KEPT_HEAD."""
    version = _read_first_line(head).version
    if version is not None and version not in SUPPORTED_VERSIONS:
        return _version_error(*version)
    fields = head.partition(b"\r\n\r\n")[0]
    codings, lengths = _CODINGS.findall(fields), _LENGTHS.findall(fields)
    if codings and not lengths:
        return _coding_error([coding.decode("latin-1") for coding in codings]) or InvalidRequest(UNREADABLE)
    if len(lengths) == 1 and not codings and lengths[0].isdigit() and _is_above(lengths[0], max_body):
        return BodyTooLarge("The request body is larger than this server takes.")
    return InvalidRequest(UNREADABLE)


def error_of_message(message: RawRequestMessage) -> ProxyError | None:
    """The error for a request that aiohttp accepts and this server does not; None if this server accepts it."""
    if message.version not in SUPPORTED_VERSIONS:
        return _version_error(*message.version)
    codings = message.headers.getall("Transfer-Encoding", None)
    return None if codings is None or codings == ["chunked"] else _coding_error(codings)


def _is_above(digits: bytes, limit: int) -> bool:
    digits = digits.lstrip(b"0")
    return len(digits) > len(str(limit)) or int(digits or b"0") > limit


def _version_error(major: int, minor: int) -> ProxyError:
    """aiohttp reports version 0.9 for a line without a version."""
    if (major, minor) == (0, 9):
        return InvalidRequest(UNREADABLE)
    return VersionNotSupported(f"This server speaks HTTP/1.1 and HTTP/1.0, not HTTP/{major}.{minor}.")


def _coding_error(values: Sequence[str]) -> ProxyError | None:
    """400 if the end of the body cannot be determined, 501 if only the coding is unknown; None for `chunked`."""
    codings = [coding for value in values for word in value.split(",") if (coding := word.strip().lower())]
    if codings == ["chunked"]:
        return None
    if any("chunked" in coding for coding in codings[:-1]):
        return InvalidRequest(UNREADABLE)
    return TransferCodingNotSupported("The only transfer coding that this server accepts is 'chunked'.")
