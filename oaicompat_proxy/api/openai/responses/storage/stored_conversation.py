"""The stored form of a conversation: one JSON entry with all of its items, replaced as a whole.

`point` is the id of the answer with which the items end: the gateway session of this answer knows the conversation. It
is empty after any other change. `version` counts the changes of the items.

Source: OpenAI API description, `/conversations`; the service's errors for unknown ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from .....core import ascii_json
from .....core.errors import InvalidRequest, NotFound
from ...invalid_requests import clip
from ...schema.response_items import type_of
from .item_list import complete_item

PREFIX = "conv_"

ITEM_MARK = "cv"
"""Marks ids of items that belong to a conversation. Ids of answers are hexadecimal, and `v` is no hexadecimal digit."""

INDEX_DIGITS = 4
"""Digits of the number in an item's id, at least."""

MAX_CONVERSATION = 2 * 1024 * 1024
"""Bytes of a stored conversation, at most."""


def new_conversation(conversation_id: str, created: int, metadata: Mapping[str, Any], items: Iterable[Any]) -> bytes:
    """Raises InvalidRequest if the items are too long."""
    stored = {
        "id": conversation_id,
        "created_at": created,
        "metadata": dict(metadata),
        "version": 0,
        "added": 0,
        "point": "",
        "items": [],
    }
    _add(stored, items)
    return _encode(stored)


def read_conversation(name: str, stored: Mapping[str, bytes], *, param: str = "conversation_id") -> dict[str, Any]:
    """Raises NotFound."""
    if not name.startswith(PREFIX) or name not in stored:
        raise NotFound(f"Conversation with id '{clip(name)}' not found.", param=param)
    conversation: dict[str, Any] = orjson.loads(stored[name])
    return conversation


def with_metadata(conversation: Mapping[str, Any], metadata: Mapping[str, Any]) -> bytes:
    return _encode({**conversation, "metadata": dict(metadata)})


def with_items(conversation: Mapping[str, Any], items: Iterable[Any]) -> tuple[bytes, list[dict[str, Any]]]:
    """The encoded conversation with these items at its end, and the completed items. Raises InvalidRequest."""
    conversation = {**conversation}
    added = _add(conversation, items)
    return _encode(conversation), added


def without_item(conversation: Mapping[str, Any], item_id: str) -> bytes:
    """Raises NotFound."""
    find_item(conversation, item_id)
    conversation = {**conversation, "items": [item for item in conversation["items"] if item["id"] != item_id]}
    _change(conversation)
    return _encode(conversation)


def with_turn(conversation: Mapping[str, Any], items: Iterable[Any], *, version: int, answer_id: str) -> bytes:
    """The encoded conversation with a request's input and output. `version`: the one that the request has read."""
    is_next, conversation = conversation["version"] == version, {**conversation}
    _add(conversation, items)
    conversation["point"] = answer_id if is_next else ""
    return ascii_json.encode(conversation)


def find_item(conversation: Mapping[str, Any], item_id: str) -> Any:
    """Raises NotFound."""
    for item in conversation["items"]:
        if item["id"] == item_id:
            return item
    raise NotFound(f"Item with id '{clip(item_id)}' not found.", param="item_id")


def encode_object(conversation: Mapping[str, Any]) -> bytes:
    """The conversation as clients get it: without its items."""
    shown = {name: conversation[name] for name in ("id", "created_at", "metadata")}
    return ascii_json.encode({**shown, "object": "conversation"})


def check_room(size: int) -> None:
    """`size`: bytes of the conversation after the addition. Raises InvalidRequest if it is too large."""
    if size > MAX_CONVERSATION:
        raise InvalidRequest(
            f"The conversation would have more than the {MAX_CONVERSATION} bytes that this server stores of one. "
            "Delete items, or begin another conversation.",
            param="conversation",
            code="conversation_full",
        )


def _encode(conversation: Mapping[str, Any]) -> bytes:
    """Raises InvalidRequest for a conversation that is too long."""
    encoded = ascii_json.encode(conversation)
    check_room(len(encoded))
    return encoded


def _add(conversation: dict[str, Any], items: Iterable[Any]) -> list[dict[str, Any]]:
    """Adds the items, completed and with unique ids; returns them."""
    known = {item["id"] for item in conversation["items"]}
    added = []
    for item in items:
        complete = _with_new_id(conversation, item) if item.get("id") in known else _complete(conversation, item)
        while complete["id"] in known:
            complete = _with_new_id(conversation, item)
        known.add(complete["id"])
        added.append(complete)
    if added:
        conversation["items"] = [*conversation["items"], *added]
        _change(conversation)
    return added


def _with_new_id(conversation: dict[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    return _complete(conversation, {**item, "type": type_of(item), "id": None})


def _complete(conversation: dict[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    suffix = f"{ITEM_MARK}{conversation['id'].removeprefix(PREFIX)}{conversation['added']:0{INDEX_DIGITS}x}"
    conversation["added"] += 1
    return complete_item(item, suffix)


def _change(conversation: dict[str, Any]) -> None:
    conversation["version"] += 1
    conversation["point"] = ""
