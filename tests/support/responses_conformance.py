"""Strict checks of answers of the Responses API: the raw bytes, the official client's types, the order of items.

`check_response_stream` and `check_response_body` raise Violation, or return what the answer was.

Sources: OpenAI API description, `ResponseStreamEvent` and `Response`; what the official helpers hold a stream to (the
first event, one id, each index once and in order, the same item when it is done); Open Responses: the fields that a
response must have, and a failed response behind every error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from openai.types.conversations import (
    Conversation,
    ConversationDeletedResource,
    ConversationItem,
    ConversationItemList,
)
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

from tests.support.conformance import Violation, _check_characters, _error, _extras, _parse, _require, _require_keys

EVENTS = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(ResponseStreamEvent)[0])
}
"""The official types by the value of their `type`."""
OPEN_RESPONSES_FIELDS = {"presence_penalty", "frequency_penalty", "store"}
DESCRIBED_FIELDS = {"response.function_call_arguments.done": {"name"}}
"""Fields that OpenAI's description requires of an event, and that the official client's type does not have."""
REQUIRED_FIELDS = {
    *("id", "object", "created_at", "completed_at", "status", "error", "incomplete_details", "instructions", "model"),
    *("previous_response_id", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "top_p", "output"),
    *("presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "usage", "metadata", "user"),
    *("max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "safety_identifier"),
    "prompt_cache_key",
}
OPTIONAL_FIELDS = {"conversation", "prompt_cache_options", "prompt_cache_retention"}
NOT_NULL = {
    *("presence_penalty", "frequency_penalty", "top_logprobs", "service_tier", "truncation", "parallel_tool_calls"),
    *("store", "background", "text", "tool_choice", "tools", "metadata", "temperature", "top_p"),
}
NEUTRAL_ECHO = {
    **dict.fromkeys(("instructions", "max_output_tokens", "max_tool_calls", "previous_response_id", "reasoning")),
    **dict.fromkeys(("prompt_cache_key", "safety_identifier", "user", "service_tier", "truncation", "metadata")),
    "tools": [],
    "tool_choice": "auto",
    "text": {"format": {"type": "text"}},
    "temperature": 1.0,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
    "store": True,
    "background": False,
}
"""Replaces the repeated fields of an invalid request before the official types check a response."""
TERMINAL = {"response.completed", "response.incomplete", "response.failed"}


@dataclass
class ResponseAnswer:
    """A parsed answer."""

    id: str = ""
    model: str = ""
    created_at: int = 0
    status: str = ""
    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """(call_id, name, arguments or input), of functions and custom tools"""
    agent_calls: list[dict[str, Any]] = field(default_factory=list)
    approvals: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    incomplete_reason: str | None = None
    error: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    response: dict[str, Any] = field(default_factory=dict)
    """The response object."""
    pings: int = 0


def check_response_stream(raw: bytes, *, odd: bool = False) -> ResponseAnswer:
    """The whole body of a streamed answer. `odd`: the request may have been of any shape."""
    checker = _StreamChecker(odd)
    for name, event in _events(raw):
        _require(event.get("type") == name, f"the event {name} says that it is {event.get('type')}")
        checker.take(event)
    return checker.end()


def check_response_body(raw: bytes, *, odd: bool = False) -> ResponseAnswer:
    """The body of an answer that is not streamed."""
    _check_characters(raw)
    response = _parse(raw.decode())
    _require(response["status"] in ("completed", "incomplete"), f"a body with status {response['status']}")
    return _read_response(response, odd)


def _events(raw: bytes) -> Iterator[tuple[str, Any]]:
    _check_characters(raw)
    _require(raw.endswith(b"\n\n"), "the stream does not end with an empty line")
    for number, block in enumerate(raw.decode().removesuffix("\n\n").split("\n\n"), 1):
        lines = block.split("\n")
        _require(len(lines) == 2, f"event {number} has not two lines: {block!r}")
        _require(lines[0].startswith("event: ") and lines[1].startswith("data: "), f"event {number}: {block!r}")
        yield lines[0].removeprefix("event: "), _parse(lines[1].removeprefix("data: "))


def without_keep_alives(raw: bytes, after: int = -1) -> bytes:
    """The events after this number, without keep-alives, which repeat the previous event's number."""
    kept = []
    for block in raw.decode().removesuffix("\n\n").split("\n\n"):
        number = _parse(block.partition("data: ")[2])["sequence_number"]
        if number > after:
            kept.append(f"{block}\n\n")
            after = number
    return "".join(kept).encode()


class _StreamChecker:
    """Takes the events of one stream in their order."""

    def __init__(self, odd: bool) -> None:
        self._odd = odd
        self._number = 0
        self._response: dict[str, Any] | None = None
        self._items: list[_ItemChecker] = []
        self._error: dict[str, Any] | None = None
        self._over = False
        self._pings = 0

    def take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        _require(not self._over, f"{kind} follows the end")
        if self._is_ping(event):
            self._pings += 1
            return
        _require(event.get("sequence_number") == self._number, f"{kind} is not number {self._number}: {event}")
        self._number += 1
        if kind == "error":
            self._take_error(event)
            return
        _validate(event, self._odd)
        _require(self._error is None or kind == "response.failed", f"{kind} follows an error")
        if "response" in event:
            self._take_lifecycle(kind, event)
        else:
            self._take_item_event(kind, event)

    def end(self) -> ResponseAnswer:
        _require(self._over and self._response is not None, "no terminal event")
        assert self._response is not None
        answer = _read_response(self._response, self._odd)
        answer.pings = self._pings
        return answer

    def _is_ping(self, event: dict[str, Any]) -> bool:
        if event.get("sequence_number") != self._number - 1:
            return False
        _validate(event, self._odd)
        open_items = [item for item in self._items if not item.is_done]
        if event["type"] == "response.in_progress":
            _require(not open_items, "a ping replaces an item that is open")
            _require(event["response"]["output"] == [item.item for item in self._items], "a ping changes the output")
        elif event["type"] == "response.mcp_call.in_progress":
            self._items[event["output_index"]].check_place(event)
        else:
            _require(event.get("delta") == "", f"a ping that says something: {event}")
            self._items[event["output_index"]].check_place(event)
        return True

    def _take_error(self, event: dict[str, Any]) -> None:
        _require_keys(event, {"type", "sequence_number", "error"}, set(), "an error event")
        _require(self._response is not None, "an error in front of response.created")
        self._error = _error({"error": event["error"]})

    def _take_lifecycle(self, kind: str, event: dict[str, Any]) -> None:
        response = event["response"]
        if self._number == 1:
            _require(kind == "response.created", "the first event is not response.created")
        else:
            assert self._response is not None
            same = ("id", "created_at", "model", "tools", "instructions", "metadata", "object")
            _require(all(response[key] == self._response[key] for key in same), "the response is another one")
        _require((kind == "response.in_progress") == (self._number == 2), f"{kind} is event {self._number}")
        self._response = response
        if kind not in TERMINAL:
            _require(response["status"] == "in_progress", f"status {response['status']} in {kind}")
            _require(response["output"] == [] and response["usage"] is None, f"{kind} knows too much")
            return
        allowed = {kind.removeprefix("response."), "cancelled" if kind == "response.failed" else ""}
        _require(response["status"] in allowed, f"status {response['status']} in {kind}")
        self._over = True
        done = [item.item for item in self._items if item.is_done]
        output = [_cited_as(item, streamed) for item, streamed in zip(response["output"], done, strict=False)]
        output += response["output"][len(done) :]
        _require(output == done, f"the output is not what was streamed: {response['output']} {done}")
        failed = kind == "response.failed"
        _require(failed == (self._error is not None), "an error and a failed response belong together")
        _require(failed or all(item.is_done for item in self._items), "an item is still open")

    def _take_item_event(self, kind: str, event: dict[str, Any]) -> None:
        _require(self._number > 2, f"{kind} in front of response.in_progress")
        index = event["output_index"]
        if kind == "response.output_item.added":
            _require(index == len(self._items), f"item {index} after {len(self._items)}")
            ids = [item.item["id"] for item in self._items]
            _require(event["item"]["id"] not in ids, "an id twice")
            self._items.append(_ItemChecker(event["item"]))
            beside = [item for item in self._items[:-1] if not item.is_done]
            speech = [item for item in beside if item.item["type"] in ("message", "reasoning")]
            _require(not speech, "an item is opened while another one speaks")
            return
        _require(index < len(self._items), f"{kind} of an item that was not added")
        self._items[index].take(kind.removeprefix("response."), event)


def _cited_as(item: dict[str, Any], streamed: dict[str, Any]) -> dict[str, Any]:
    """The item without citations that came after the item's end: no event may follow it."""
    if item["type"] != "message" or streamed["type"] != "message":
        return item
    (part,), count = item["content"], len(streamed["content"][0]["annotations"])
    return {**item, "content": [{**part, "annotations": part["annotations"][:count]}]}


class _ItemChecker:
    """Follows one item from `added` to `done`."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item
        self.is_done = False
        self._step = ""
        self._steps = _STEPS["raw reasoning" if "content" in item and item["type"] == "reasoning" else item["type"]]
        self._text = ""
        self._whole: str | None = None
        self._part: dict[str, Any] | None = None
        self._annotations: list[Any] = []
        empty = {
            "message": {"content": [], "status": "in_progress", "role": "assistant"},
            "reasoning": {"summary": []},
            "function_call": {"arguments": "", "status": "in_progress"},
            "custom_tool_call": {"input": ""},
            "mcp_call": {"arguments": "", "status": "in_progress", "output": None, "error": None},
            "mcp_approval_request": {},
        }[item["type"]]
        _require(item == {**item, **empty}, f"an item that is not empty when it is added: {item}")

    def check_place(self, event: dict[str, Any]) -> None:
        _require(event.get("item_id") == self.item["id"], f"another id: {event}")
        for name in ("content_index", "summary_index"):
            _require(event.get(name, 0) == 0, f"a second part: {event}")
        _require(not self.is_done, f"an event behind the item's end: {event}")

    def take(self, kind: str, event: dict[str, Any]) -> None:
        _require(not self.is_done, f"{kind} behind the item's end")
        allowed = self._steps[self._step]
        if self._step == "" and self.item["type"] == "reasoning" and self.item.get("encrypted_content"):
            allowed = {*allowed, "output_item.done"}  # an item that only carries a token
        _require(kind in allowed, f"{kind} follows {self._step or 'added'} in a {self.item['type']}")
        if kind == "output_item.done":
            self._take_done(event["item"])
            return
        self._step = kind
        self.check_place(event)
        if kind.endswith(".delta"):
            _require(event["delta"] != "", "a delta that says nothing")
            self._text += event["delta"]
        elif kind.endswith("part.done"):
            self._part = event["part"]
            _require(self._part["text"] == self._whole, "the part differs from its deltas")
            _require(self._part.get("annotations", []) == self._annotations, "the part's annotations are others")
        elif kind.endswith("part.added"):
            _require(event["part"]["text"] == "", "a part that is not empty")
        elif kind.endswith(".done"):
            self._whole = event.get("text", event.get("arguments", event.get("input")))
            _require(self._whole == self._text, f"done says {self._whole!r} after {self._text!r}")
            if kind == "function_call_arguments.done":
                _require(event["name"] == self.item["name"], "the name of another function")
        elif kind == "output_text.annotation.added":
            _require(event["annotation_index"] == len(self._annotations), "an annotation is missing")
            self._annotations.append(event["annotation"])

    def _take_done(self, item: dict[str, Any]) -> None:
        kind, last = item["type"], self.item
        same = {"id", "type", "call_id", "name", "server_label", "role"} & item.keys()
        _require(all(item[key] == last.get(key) for key in same), f"another item is done: {item} {last}")
        _require(item.get("status") != "in_progress", "an item that is done is in progress")
        if kind == "message":
            _require(item["content"] == [self._part], "the message differs from its parts")
        elif kind == "reasoning":
            held = item["content"] if "content" in item else item["summary"]
            _require(held == ([self._part] if self._part else []), "the reasoning differs from its parts")
            _require(item.get("encrypted_content") == last.get("encrypted_content"), "another token")
        elif kind == "mcp_approval_request":
            _require(item == last, "another question")
        else:
            _require(item.get("arguments", item.get("input")) == self._whole, "the arguments differ from their deltas")
        if kind == "mcp_call":
            ending = {"completed": "mcp_call.completed", "failed": "mcp_call.failed"}.get(item["status"])
            _require(ending is None or self._step == ending, f"status {item['status']} after {self._step}")
        self.item, self.is_done = item, True


def _chain(*steps: tuple[str, str]) -> dict[str, set[str]]:
    """A table of the event types that may follow each event type."""
    table: dict[str, set[str]] = {}
    for before, kinds in steps:
        table.setdefault(before, set()).update(kinds.split())
    return table


def _part_steps(part: str, text: str, more: str = "") -> dict[str, set[str]]:
    following = f"{text}.delta {text}.done {more}"
    return _chain(
        ("", f"{part}.added"),
        (f"{part}.added", following),
        (f"{text}.delta", following),
        *((each, following) for each in more.split()),
        (f"{text}.done", f"{part}.done"),
        (f"{part}.done", "output_item.done"),
    )


def _text_steps(text: str, done: str = "output_item.done") -> dict[str, set[str]]:
    following = f"{text}.delta {text}.done"
    return _chain(("", following), (f"{text}.delta", following), (f"{text}.done", done))


_MCP_ENDS = "mcp_call.completed mcp_call.failed output_item.done"
_STEPS: dict[str, dict[str, set[str]]] = {
    "message": _part_steps("content_part", "output_text", "output_text.annotation.added"),
    "reasoning": _part_steps("reasoning_summary_part", "reasoning_summary_text"),
    "raw reasoning": _part_steps("content_part", "reasoning_text"),
    "function_call": _text_steps("function_call_arguments"),
    "custom_tool_call": _text_steps("custom_tool_call_input"),
    "mcp_approval_request": _chain(("", "output_item.done")),
    "mcp_call": _chain(
        ("", "mcp_call.in_progress"),
        ("mcp_call.in_progress", "mcp_call_arguments.delta"),
        ("mcp_call_arguments.delta", "mcp_call_arguments.done"),
        ("mcp_call_arguments.done", _MCP_ENDS),
        ("mcp_call.completed", "output_item.done"),
        ("mcp_call.failed", "output_item.done"),
    ),
}


def _validate(event: dict[str, Any], odd: bool) -> None:
    """Checks an event with the official client's types."""
    if "response" in event:
        _require_response(event["response"])
        event = {**event, "response": _typed(event["response"], odd)}
    _require(event["type"] in EVENTS, f"no event of OpenAI's: {event}")
    try:
        parsed = EVENTS[event["type"]].model_validate(event, strict=True)
    except ValidationError as error:
        raise Violation(f"the official client's types refuse it: {event} {error}") from error
    of_description = DESCRIBED_FIELDS.get(event["type"], set())
    for path, name in _extras(parsed, ""):
        _require(
            name in OPEN_RESPONSES_FIELDS | of_description, f"a field that is not OpenAI's: {path}.{name} in {event}"
        )


def _typed(response: dict[str, Any], odd: bool) -> dict[str, Any]:
    return {**response, **(NEUTRAL_ECHO if odd else {"tools": [], "tool_choice": "auto"})}


def _require_response(response: Any) -> None:
    _require_keys(response, REQUIRED_FIELDS, OPTIONAL_FIELDS, "a response")
    for name in NOT_NULL:
        _require(response[name] is not None, f"{name} is null")
    for tool in response["tools"]:
        if tool["type"] == "function":
            _require({"name", "description", "parameters", "strict"} <= tool.keys(), f"a function lacks keys: {tool}")


def _read_response(response: dict[str, Any], odd: bool) -> ResponseAnswer:
    _require_response(response)
    try:
        Response.model_validate(_typed(response, odd), strict=True)
    except ValidationError as error:
        raise Violation(f"the official client's types refuse it: {error}") from error
    status = response["status"]
    stopped = status in ("failed", "cancelled")
    _require((response["error"] is not None) == stopped, "an error that does not fit the status")
    _require((response["incomplete_details"] is not None) == (status == "incomplete"), "details that do not fit")
    _require((response["usage"] is None) == stopped, "usage does not fit the status")
    answer = ResponseAnswer(
        id=response["id"],
        model=response["model"],
        created_at=response["created_at"],
        status=status,
        incomplete_reason=(response["incomplete_details"] or {}).get("reason"),
        error=response["error"],
        usage=response["usage"],
        response=response,
    )
    _require(answer.id.startswith("resp_"), f"no id of a response: {answer.id}")
    ids = [item["id"] for item in response["output"]]
    _require(len(set(ids)) == len(ids), f"an id twice: {ids}")
    for item in response["output"]:
        _READERS[item["type"]](answer, item)
    calls = [call_id for call_id, _, _ in answer.calls]
    _require(len(set(calls)) == len(calls), f"two calls with one id: {calls}")
    return answer


def _read_message(answer: ResponseAnswer, item: dict[str, Any]) -> None:
    _require(item["id"].startswith("msg_"), "no id of a message")
    for part in item["content"]:
        for citation in part["annotations"]:
            start, end = citation["start_index"], citation["end_index"]
            _require(0 <= start <= end <= len(part["text"]), f"a citation outside of its text: {citation}")
        answer.text += part["text"]
        answer.annotations += part["annotations"]


def _read_reasoning(answer: ResponseAnswer, item: dict[str, Any]) -> None:
    _require(item["id"].startswith("rs_"), "no id of reasoning")
    answer.reasoning += "".join(part["text"] for part in item["summary"] + item.get("content", []))


def _read_call(answer: ResponseAnswer, item: dict[str, Any]) -> None:
    arguments = item["arguments"] if item["type"] == "function_call" else item["input"]
    answer.calls.append((item["call_id"], item["name"], arguments))


_READERS = {
    "message": _read_message,
    "reasoning": _read_reasoning,
    "function_call": _read_call,
    "custom_tool_call": _read_call,
    "mcp_call": lambda answer, item: answer.agent_calls.append(item),
    "mcp_approval_request": lambda answer, item: answer.approvals.append(item),
}


# Conversations


def check_conversation(raw: bytes) -> dict[str, Any]:
    """The object of a conversation."""
    return _check_object(raw, Conversation)


def check_deleted_conversation(raw: bytes) -> str:
    """The id of a conversation that was deleted."""
    return str(_check_object(raw, ConversationDeletedResource)["id"])


def check_item_list(raw: bytes) -> list[dict[str, Any]]:
    """The items of a page, each complete."""
    page = _check_object(raw, ConversationItemList)
    items: list[dict[str, Any]] = page["data"]
    ends = (items[0]["id"], items[-1]["id"]) if items else ("", "")
    _require(
        (page["first_id"], page["last_id"]) == ends, f"the ends of the page: {page['first_id']}, {page['last_id']}"
    )
    return [_check_item(item) for item in items]


def check_item(raw: bytes) -> dict[str, Any]:
    """One item of a conversation."""
    _check_characters(raw)
    return _check_item(_parse(raw.decode()))


def _check_item(item: dict[str, Any]) -> dict[str, Any]:
    try:
        _ITEM.validate_python(item)
    except ValidationError as error:
        raise Violation(f"no item of a conversation: {item}: {error}") from None
    return item


def _check_object(raw: bytes, model: type[BaseModel]) -> dict[str, Any]:
    _check_characters(raw)
    body: dict[str, Any] = _parse(raw.decode())
    try:
        parsed = model.model_validate(body)
    except ValidationError as error:
        raise Violation(f"no {model.__name__}: {body}: {error}") from None
    _require(not parsed.model_extra, f"fields that no {model.__name__} has: {parsed.model_extra}")
    return body


_ITEM: TypeAdapter[Any] = TypeAdapter(ConversationItem)
