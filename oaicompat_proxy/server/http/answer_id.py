"""The id of an answer. A load balancer may choose it, to route requests that name the answer to the same replica.

The header counts only from a trusted proxy. An answer is only found by its own caller, even if another knows its id.
"""

from __future__ import annotations

import re

from aiohttp import web

from ...api.protocol import ClientApi
from ..context import server_of
from ..random_ids import new_id

HEADER = "X-Answer-Id"

_ID = re.compile(r"[0-9a-f]{32}")
"""Sixteen bytes in hexadecimal digits, as nginx's `$request_id`."""


def new_answer_id(request: web.Request, api: ClientApi) -> str:
    """The id of the answer to this request."""
    chosen = request.headers.get(HEADER) if api.keeps_answers else None
    if chosen is not None and _ID.fullmatch(chosen) and server_of(request).authenticator.trusts_peer(request):
        return api.id_prefix + chosen
    return api.id_prefix + new_id()
