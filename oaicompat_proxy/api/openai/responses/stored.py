"""What is stored of an answer for later requests: its input, a JSON array of items, and the response object.

The id of an item holds that of its answer, so an item is found by the answer. An approval request, whose id holds
something else, is stored under its own, too.

Source: OpenAI API description, `previous_response_id` and `ItemReferenceParam`;
the service's words for what is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from ....core import ascii_json
from ....core.errors import InvalidRequest, NotFound
from ...protocol import ParsedBody
from ..schema.response_items import type_of
from ..validation import clip
from .item_list import complete_item
from .response_object import UNFINISHED

EARLIER_ITEMS = " earlier"
"""Member of a body whose `input` begins with items of an earlier answer: how many. No client can send it."""

MAX_STORED = 512 * 1024
"""Bytes of an input, or of a response object, that is stored."""

ANSWER_PREFIX = "resp_"
APPROVAL_PREFIX = "mcpr_"
_INPUT = "/input"
_INDEX_DIGITS = 4
_OF_INPUT = "in"
"""Begins with a letter that no answer's id has."""


def find_references(members: Mapping[str, Any]) -> frozenset[str]:
    """The names under which that is stored what a body refers to. The body has not been checked."""
    names = {_name_of(item["id"]) for item in _references(members.get("input"))}
    previous = members.get("previous_response_id")
    if isinstance(previous, str):
        names |= entry_names(previous)
    return frozenset(names)


def entry_names(answer_id: str) -> frozenset[str]:
    """The names under which an answer is stored; its approval requests have names of their own."""
    return frozenset({answer_id, answer_id + _INPUT})


def input_name(answer_id: str) -> str:
    return answer_id + _INPUT


def input_id_suffix(answer_id: str, index: int) -> str:
    """Of the id of an input item: says of which answer it is the input, as the id of an output item does."""
    return f"{_OF_INPUT}{answer_id.removeprefix(ANSWER_PREFIX)}{index:04x}"


def expand(body: ParsedBody, stored: Mapping[str, bytes]) -> ParsedBody:
    """The body with the items that it refers to in place of the references. `stored`: what was found of the names.

    Raises InvalidRequest for an answer that is not stored, and NotFound for an item.
    """
    members, exact, size = body
    items = members.get("input")
    if isinstance(items, list) and any(True for _ in _references(items)):
        items, more = _replace_references(items, stored)
        members, size = {**members, "input": items}, size + more
    previous = members.get("previous_response_id")
    if not isinstance(previous, str):
        return ParsedBody(members, exact, size)
    if previous + _INPUT not in stored or previous not in stored:
        message = f"Previous response with id '{clip(previous)}' not found."
        raise InvalidRequest(message, param="previous_response_id", code="previous_response_not_found")
    response = orjson.loads(stored[previous])
    if response["status"] in UNFINISHED:
        message = f"Previous response with id '{clip(previous)}' is not finished. Wait for its end, or cancel it."
        raise InvalidRequest(message, param="previous_response_id", code="previous_response_not_finished")
    earlier = orjson.loads(stored[previous + _INPUT]) + response["output"]
    own = [{"role": "user", "content": items}] if isinstance(items, str) else items
    if isinstance(own, list):  # anything else is refused when the body is checked
        members = {**members, "input": [*earlier, *own], EARLIER_ITEMS: len(earlier)}
    return ParsedBody(members, exact, size + len(stored[previous + _INPUT]) + len(stored[previous]))


def encode_input(members: Mapping[str, Any], size: int) -> bytes:
    """The input of a checked body of this size as it is stored; nothing if it is too long or not to be stored."""
    if size > MAX_STORED or members.get("store") is False:
        return b""
    items = members["input"]
    return ascii_json.encode([{"role": "user", "content": items}] if isinstance(items, str) else items)


def input_entry(answer_id: str, encoded: bytes) -> Mapping[str, bytes]:
    return {answer_id + _INPUT: encoded} if encoded else {}


def output_entries(answer_id: str, body: bytes, items: Iterable[tuple[str, bytes]]) -> Mapping[str, bytes]:
    """`body`: the response object. `items`: ids and JSON of its output items."""
    approvals = {name: encoded for name, encoded in items if name.startswith(APPROVAL_PREFIX)}
    return {answer_id: body, **approvals} if len(body) <= MAX_STORED else {}


def _references(items: Any) -> Iterable[Any]:
    if isinstance(items, list):
        for item in items:
            if type_of(item) == "item_reference" and isinstance(item.get("id"), str):
                yield item


def _name_of(item_id: str) -> str:
    if item_id.startswith(APPROVAL_PREFIX):
        return item_id
    suffix = item_id.partition("_")[2][:-_INDEX_DIGITS]
    if suffix.startswith(_OF_INPUT):
        return input_name(ANSWER_PREFIX + suffix.removeprefix(_OF_INPUT))
    return ANSWER_PREFIX + suffix


def _items_of(name: str, encoded: bytes) -> list[Any]:
    """Of an input, of the output of a response, or an approval request, which is an item by itself."""
    entry = orjson.loads(encoded)
    if name.endswith(_INPUT):
        answer_id = name.removesuffix(_INPUT)
        return [complete_item(item, input_id_suffix(answer_id, index)) for index, item in enumerate(entry)]
    return [entry] if name.startswith(APPROVAL_PREFIX) else entry["output"]


def _replace_references(items: list[Any], stored: Mapping[str, bytes]) -> tuple[list[Any], int]:
    """Also how many bytes were put in."""
    found = {item["id"]: item for name, encoded in stored.items() for item in _items_of(name, encoded)}
    sizes: dict[str, int] = {}
    replaced: list[Any] = []
    for index, item in enumerate(items):
        if type_of(item) != "item_reference" or not isinstance(item.get("id"), str):
            replaced.append(item)
            continue
        if item["id"] not in found:
            raise NotFound(f"Item with id '{clip(item['id'])}' not found.", param=f"input[{index}].id")
        replaced.append(found[item["id"]])
        sizes.setdefault(item["id"], len(orjson.dumps(found[item["id"]])))
    total = sum(sizes[item["id"]] for item in _references(items))
    return replaced, total
