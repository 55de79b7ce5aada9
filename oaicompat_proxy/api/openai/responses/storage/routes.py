"""The routes of the Responses API that run no agent.

Unknown ids, expired ids and ids of other callers have the same error.

Source: OpenAI API description, `/responses/{response_id}` and its sub-paths; the service's errors for unknown ids.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from .....core import json_text
from .....core.errors import NotFound, ProxyError
from ....protocol import ApiRoute, RouteAnswer, RouteRequest
from ...invalid_requests import clip, invalid_value
from .conversation_routes import CONVERSATION_ROUTES
from .item_list import complete_item, encode_page
from .stored_answer import entry_names, input_id_suffix, input_name, is_answer_id

_Stored = Mapping[str, bytes]

_DIGITS = 10
"""More digits than a sequence number has."""


def _id_of(request: RouteRequest) -> str:
    return request.path["id"]


def _find_names(request: RouteRequest) -> frozenset[str]:
    """No names for the id of something else that is stored, such as a conversation or the input of an answer."""
    response_id = _id_of(request)
    return entry_names(response_id) if is_answer_id(response_id) else frozenset()


def _require(request: RouteRequest, stored: _Stored) -> str:
    """The id. Raises NotFound if its answer is not stored."""
    response_id = _id_of(request)
    if response_id not in stored:
        raise NotFound(f"Response with id '{clip(response_id)}' not found.", param="response_id")
    return response_id


def _retrieve(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    """The response in its current state, or with `stream=true` its events after number `starting_after`."""
    body = stored[_require(request, stored)]
    if request.query.get("stream", "false").lower() not in ("true", "1"):
        return RouteAnswer(body)
    return RouteAnswer(body, stream_from=_starting_after(request.query) + 1)


def _starting_after(query: Mapping[str, str]) -> int:
    """The number of the last event that the client has. Raises InvalidRequest."""
    text = query.get("starting_after", "")
    if not text:
        return -1
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS):
        raise invalid_value("starting_after", f"expected the sequence number of an event, but got '{clip(text)}'.")
    return int(text)


def _delete(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    response_id = _require(request, stored)
    body = json_text.encode({"id": response_id, "object": "response", "deleted": True})
    return RouteAnswer(body, frozenset(stored))


def _cancel(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    """The response after its run was stopped (`stops`); a complete answer stays complete."""
    return RouteAnswer(stored[_require(request, stored)])


def _list_input(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    response_id = _require(request, stored)
    items = orjson.loads(stored.get(input_name(response_id), b"[]"))
    complete = [complete_item(item, input_id_suffix(response_id, index)) for index, item in enumerate(items)]
    return RouteAnswer(encode_page(complete, request.query))


def _count_tokens(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    raise _unsupported("only the agent can count its tokens. The 'usage' of an answer has its count.")


def _compact(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    raise _unsupported("the agent manages its own context. Send the conversation as it is.")


def _find_no_names(request: RouteRequest) -> frozenset[str]:
    return frozenset()


def _unsupported(reason: str) -> ProxyError:
    return NotFound(f"This endpoint is not supported: {reason}", code="unsupported_endpoint")


ROUTES = (
    ApiRoute("GET", "/responses/{id}", _find_names, _retrieve, _id_of),
    ApiRoute("DELETE", "/responses/{id}", _find_names, _delete, _id_of, stops=True),
    ApiRoute("POST", "/responses/{id}/cancel", _find_names, _cancel, _id_of, stops=True),
    ApiRoute("GET", "/responses/{id}/input_items", _find_names, _list_input),
    ApiRoute("POST", "/responses/input_tokens", _find_no_names, _count_tokens),
    ApiRoute("POST", "/responses/compact", _find_no_names, _compact),
    *CONVERSATION_ROUTES,
)
