"""The routes of the Responses API that run no agent.

An id that is unknown, that has expired, and that of another caller have the same error.

Source: OpenAI API description, `/responses/{response_id}` and its sub-paths; the service's words for what it does not
find.
"""

from __future__ import annotations

from collections.abc import Mapping

from ....core import json_text
from ....core.errors import InvalidRequest, NotFound, ProxyError
from ...protocol import ApiRoute, RouteAnswer, RouteRequest
from ..validation import clip
from .stored import entry_names

_Stored = Mapping[str, bytes]


def _find_names(request: RouteRequest) -> frozenset[str]:
    return entry_names(request.path["id"])


def _require(request: RouteRequest, stored: _Stored) -> str:
    """The id. Raises NotFound if its answer is not stored."""
    response_id = request.path["id"]
    if response_id not in stored:
        raise NotFound(f"Response with id '{clip(response_id)}' not found.", param="response_id")
    return response_id


def _retrieve(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    _require(request, stored)
    raise _unsupported("this server keeps what a next request may refer to, and no whole responses.")


def _delete(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    response_id = _require(request, stored)
    body = json_text.encode({"id": response_id, "object": "response", "deleted": True})
    return RouteAnswer(body, frozenset(stored))


def _cancel(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    _require(request, stored)
    raise InvalidRequest("Cannot cancel a synchronous response.", param="response_id")


def _count_tokens(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    raise _unsupported("only the agent can count its tokens. The 'usage' of an answer has its count.")


def _compact(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    raise _unsupported("the agent manages its own context. Send the conversation as it is.")


def _find_no_names(request: RouteRequest) -> frozenset[str]:
    return frozenset()


def _unsupported(reason: str) -> ProxyError:
    return NotFound(f"This endpoint is not supported: {reason}", code="unsupported_endpoint")


ROUTES = (
    ApiRoute("GET", "/responses/{id}", _find_names, _retrieve),
    ApiRoute("DELETE", "/responses/{id}", _find_names, _delete),
    ApiRoute("POST", "/responses/{id}/cancel", _find_names, _cancel),
    ApiRoute("GET", "/responses/{id}/input_items", _find_names, _retrieve),
    ApiRoute("POST", "/responses/input_tokens", _find_no_names, _count_tokens),
    ApiRoute("POST", "/responses/compact", _find_no_names, _compact),
)
