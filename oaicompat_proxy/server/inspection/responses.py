"""Responses of the inspector, with headers that forbid caching, framing, MIME sniffing, and reading by other sites."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from ..http.headers import OWN_PAGES_ONLY

PAGE = Path(__file__).parent / "page"
"""The files of the page."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    OWN_PAGES_ONLY: "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def json_response(data: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(data), content_type="application/json", headers=HEADERS)


def page_response(name: str, status: int = 200, **texts: str) -> web.Response:
    """One of the page's files. `texts` replace `{{NAME}}` in it."""
    text = read_file(name)
    for key, value in texts.items():
        text = text.replace("{{" + key + "}}", html.escape(value))
    kind = TYPES[Path(name).suffix]
    return web.Response(status=status, text=text, content_type=kind, charset="utf-8", headers=HEADERS)


def download_response(data: bytes, name: str) -> web.Response:
    """`name`: of the file, of letters, digits, `-`, `_` and `.`."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=data, content_type="application/x-ndjson", headers=headers)


@cache
def read_file(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
