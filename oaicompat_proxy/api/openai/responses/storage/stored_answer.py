"""The stored entries of an answer for later requests: its input (a JSON array of items) and the response object.

The id of an item contains the id of its answer or conversation, so a reference to an item finds the entry. The id of an
approval request does not, so an approval request is also stored under its own id.

Source: OpenAI API description, `previous_response_id` and `ItemReferenceParam`; the service's errors for unknown ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from .....core import ascii_json
from .....core.errors import InvalidRequest, NotFound, UpstreamAnswerTooLong
from .....core.request import EntryChange
from ....protocol import ParsedBody
from ...invalid_requests import clip
from ...schema.response_items import type_of
from ..answer.response_object import UNFINISHED
from .item_list import complete_item
from .stored_conversation import INDEX_DIGITS, ITEM_MARK, PREFIX, check_room, read_conversation, with_turn

EARLIER_ITEMS = " earlier"
"""Member of a body whose `input` begins with stored items: an `Earlier`. No client can send it."""

MAX_STORED = 512 * 1024
"""Bytes of the longest input, and of the longest response object, that is stored."""

ANSWER_PREFIX = "resp_"
APPROVAL_PREFIX = "mcpr_"
_INPUT = "/input"
_OF_INPUT = "in"
"""Marks ids of input items. Ids of answers are hexadecimal, and `i` is no hexadecimal digit."""


class Earlier(NamedTuple):
    """The stored items in front of a request's own."""

    items: int = 0
    source: str = "previous_response_id"
    """The parameter that named them."""
    point: str = ""
    """The id of the answer with which the items end; empty if the conversation changed after it."""
    version: int = 0
    """The conversation's `version`."""
    size: int = 0
    """Bytes of the conversation."""


def conversation_name(members: Mapping[str, Any]) -> str:
    """The id of the conversation that a body names; empty if it names none. `members`: not checked yet."""
    conversation = members.get("conversation")
    if type(conversation) is dict:
        conversation = conversation.get("id")
    return conversation if isinstance(conversation, str) else ""


def find_references(members: Mapping[str, Any]) -> frozenset[str]:
    """The names of the stored entries that a body refers to. `members`: not checked yet."""
    names = {_name_of(item["id"]) for item in _references(members.get("input"))}
    previous = members.get("previous_response_id")
    if isinstance(previous, str):
        names |= entry_names(previous)
    if conversation := conversation_name(members):
        names.add(conversation)
    return frozenset(names)


def entry_names(answer_id: str) -> frozenset[str]:
    """The names of an answer's stored entries, without its approval requests."""
    return frozenset({answer_id, answer_id + _INPUT})


def is_answer_id(name: str) -> bool:
    """Whether a stored entry of this name would be a response object."""
    return name.startswith(ANSWER_PREFIX) and not name.endswith(_INPUT)


def input_name(answer_id: str) -> str:
    return answer_id + _INPUT


def input_id_suffix(answer_id: str, index: int) -> str:
    """The end of an input item's id; it contains the id of the answer, as the ids of output items do."""
    return f"{_OF_INPUT}{answer_id.removeprefix(ANSWER_PREFIX)}{index:04x}"


def expand(body: ParsedBody, stored: Mapping[str, bytes]) -> ParsedBody:
    """The body with stored items in place of its references. `stored`: the found entries of `find_references`.

    Raises InvalidRequest for an answer that is not stored, and NotFound for an unknown item or conversation.
    """
    members, exact, size = body.members, body.exact, body.size
    items = members.get("input")
    if isinstance(items, list) and any(True for _ in _references(items)):
        items, more = replace_references(items, stored)
        members, size = {**members, "input": items}, size + more
    if conversation := conversation_name(members):
        return _behind_conversation(ParsedBody(members, exact, size), conversation, stored)
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
    members = _behind(members, earlier, Earlier(len(earlier), point=previous))
    return ParsedBody(members, exact, size + len(stored[previous + _INPUT]) + len(stored[previous]))


def _behind_conversation(body: ParsedBody, name: str, stored: Mapping[str, bytes]) -> ParsedBody:
    """Raises NotFound."""
    conversation, size = read_conversation(name, stored, param="conversation"), len(stored[name])
    items = conversation["items"]
    earlier = Earlier(len(items), "conversation", conversation["point"], conversation["version"], size)
    return ParsedBody(_behind(body.members, items, earlier), body.exact, body.size + size)


def _behind(members: dict[str, Any], items: list[Any], earlier: Earlier) -> dict[str, Any]:
    """Behind earlier items a request needs no `input` of its own."""
    own = members.get("input")
    if own is None:
        own = []
    if isinstance(own, str):
        own = [{"role": "user", "content": own}]
    if not isinstance(own, list):  # the schema rejects it later
        return members
    return {**members, "input": [*items, *own], EARLIER_ITEMS: earlier}


def encode_input(members: Mapping[str, Any], size: int) -> bytes:
    """The input of a checked body as a stored entry; empty if it is too long, or with `store: false`. `size`: bytes."""
    if size > MAX_STORED or members.get("store") is False:
        return b""
    items = members["input"]
    return ascii_json.encode([{"role": "user", "content": items}] if isinstance(items, str) else items)


def encode_change(members: Mapping[str, Any], earlier: Earlier, size: int) -> EntryChange | None:
    """The change of the conversation that a checked body names, if any. Raises InvalidRequest if it grows too big."""
    name = conversation_name(members)
    if not name:
        return None
    check_room(size)
    own = members["input"][earlier.items :]
    return EntryChange(name, ascii_json.encode({"version": earlier.version, "items": own}))


def apply_change(
    change: EntryChange, stored: Mapping[str, bytes], answer_id: str, output: bytes
) -> Mapping[str, bytes]:
    """The conversation with a request's input and output added; empty if it was deleted meanwhile.

    `output`: the items as JSON, separated by commas. Raises UpstreamAnswerTooLong.
    """
    if change.name not in stored:
        return {}
    if len(output) > MAX_STORED:
        raise UpstreamAnswerTooLong("The agent's answer is longer than this server stores in a conversation.")
    asked = orjson.loads(change.data)
    items = [*asked["items"], *orjson.loads(b"[%b]" % output)]
    conversation = read_conversation(change.name, stored)
    return {change.name: with_turn(conversation, items, version=asked["version"], answer_id=answer_id)}


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
    suffix = item_id.partition("_")[2][:-INDEX_DIGITS]
    if suffix.startswith(ITEM_MARK):
        return PREFIX + suffix.removeprefix(ITEM_MARK)
    if suffix.startswith(_OF_INPUT):
        return input_name(ANSWER_PREFIX + suffix.removeprefix(_OF_INPUT))
    return ANSWER_PREFIX + suffix


def _items_of(name: str, encoded: bytes) -> list[Any]:
    """The items of a stored entry: of a conversation, an input, a response, or one approval request."""
    entry = orjson.loads(encoded)
    if name.startswith(PREFIX):
        return list(entry["items"])
    if name.endswith(_INPUT):
        answer_id = name.removesuffix(_INPUT)
        return [complete_item(item, input_id_suffix(answer_id, index)) for index, item in enumerate(entry)]
    return [entry] if name.startswith(APPROVAL_PREFIX) else entry["output"]


def replace_references(items: list[Any], stored: Mapping[str, bytes], *, path: str = "input") -> tuple[list[Any], int]:
    """The items with stored items in place of references, and the bytes of the added items.

    `path`: the place of `items` in the body. Raises NotFound.
    """
    found = {item["id"]: item for name, encoded in stored.items() for item in _items_of(name, encoded)}
    sizes: dict[str, int] = {}
    replaced: list[Any] = []
    for index, item in enumerate(items):
        if type_of(item) != "item_reference" or not isinstance(item.get("id"), str):
            replaced.append(item)
            continue
        if item["id"] not in found:
            raise NotFound(f"Item with id '{clip(item['id'])}' not found.", param=f"{path}[{index}].id")
        replaced.append(found[item["id"]])
        sizes.setdefault(item["id"], len(orjson.dumps(found[item["id"]])))
    total = sum(sizes[item["id"]] for item in _references(items))
    return replaced, total
