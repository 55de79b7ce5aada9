"""The routes of conversations: each reads one stored conversation, and some change it.

Unknown ids, expired ids and ids of other callers have the same error.

Source: OpenAI API description, `/conversations` and its sub-paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .....core import json_text
from ....json_body import parse_json
from ....protocol import ApiRoute, RouteAnswer, RouteRequest
from ...schema.conversations import CONVERSATION, METADATA, NEW_ITEMS
from ...validation import check
from .item_list import encode_page, encode_whole
from .stored_answer import find_references, replace_references
from .stored_conversation import (
    PREFIX,
    encode_object,
    find_item,
    new_conversation,
    read_conversation,
    with_items,
    with_metadata,
    without_item,
)

_Stored = Mapping[str, bytes]


def _body_of(request: RouteRequest) -> dict[str, Any]:
    """An empty body is an empty object. Raises InvalidRequest."""
    return parse_json(request.body, max_values=request.max_values) if request.body.strip() else {}


def _find_names(request: RouteRequest) -> frozenset[str]:
    """Names of stored entries: the path's conversation, and references of the body's items. Raises InvalidRequest."""
    body = _body_of(request) if request.body else {}
    references = find_references({"input": body.get("items")})
    return references | {request.path["id"]} if "id" in request.path else references


def _find(request: RouteRequest, stored: _Stored) -> dict[str, Any]:
    """Raises NotFound."""
    return read_conversation(request.path["id"], stored)


def _changed(request: RouteRequest, body: bytes, conversation: bytes) -> RouteAnswer:
    return RouteAnswer(body, replaced={request.path["id"]: conversation})


def _create(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    body = _body_of(request)
    check(CONVERSATION, body)
    items, _ = replace_references(body.get("items") or [], stored, path="items")
    conversation_id = PREFIX + request.new_id
    encoded = new_conversation(conversation_id, request.now, body.get("metadata") or {}, items)
    created = read_conversation(conversation_id, {conversation_id: encoded})
    return RouteAnswer(encode_object(created), replaced={conversation_id: encoded})


def _retrieve(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    return RouteAnswer(encode_object(_find(request, stored)))


def _update(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    conversation, body = _find(request, stored), _body_of(request)
    check(METADATA, body)
    metadata = body["metadata"] or {}
    return _changed(
        request, encode_object({**conversation, "metadata": metadata}), with_metadata(conversation, metadata)
    )


def _delete(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    conversation_id = _find(request, stored)["id"]
    body = json_text.encode({"id": conversation_id, "object": "conversation.deleted", "deleted": True})
    return RouteAnswer(body, frozenset({conversation_id}))


def _list_items(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    return RouteAnswer(encode_page(_find(request, stored)["items"], request.query))


def _add_items(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    conversation, body = _find(request, stored), _body_of(request)
    check(NEW_ITEMS, body)
    items, _ = replace_references(body["items"], stored, path="items")
    encoded, added = with_items(conversation, items)
    return _changed(request, encode_whole(added), encoded)


def _retrieve_item(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    return RouteAnswer(json_text.encode(find_item(_find(request, stored), request.path["item"])))


def _delete_item(request: RouteRequest, stored: _Stored) -> RouteAnswer:
    conversation = _find(request, stored)
    encoded = without_item(conversation, request.path["item"])
    return _changed(request, encode_object(conversation), encoded)


def _route(method: str, path: str, answer: Callable[[RouteRequest, _Stored], RouteAnswer]) -> ApiRoute:
    return ApiRoute(method, "/conversations" + path, _find_names, answer)


CONVERSATION_ROUTES = (
    _route("POST", "", _create),
    _route("GET", "/{id}", _retrieve),
    _route("POST", "/{id}", _update),
    _route("DELETE", "/{id}", _delete),
    _route("GET", "/{id}/items", _list_items),
    _route("POST", "/{id}/items", _add_items),
    _route("GET", "/{id}/items/{item}", _retrieve_item),
    _route("DELETE", "/{id}/items/{item}", _delete_item),
)
