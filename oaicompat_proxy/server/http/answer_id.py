"""The id of an answer. A balancer in front may choose it, and send the requests that name it to the same replica.

Only a trusted proxy's word counts; the ids of one caller are never found by another one, whoever chose them.
"""

from __future__ import annotations

import re

from aiohttp import web

from ...api.protocol import ClientApi
from ..context import server_of
from ..random_ids import new_id

HEADER = "X-Answer-Id"

_ID = re.compile(r"[0-9a-f]{32}")
"""As nginx's `$request_id`: sixteen random bytes."""


def new_answer_id(request: web.Request, api: ClientApi) -> str:
    """The id of the answer to this request."""
    chosen = request.headers.get(HEADER) if api.keeps_answers else None
    if chosen is not None and _ID.fullmatch(chosen) and server_of(request).authenticator.trusts_peer(request):
        return api.id_prefix + chosen
    return api.id_prefix + new_id()
