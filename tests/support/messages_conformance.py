"""Strict checks of answers of the Messages API: the raw bytes, the official client's types, the order of blocks.

`check_message_stream`, `check_message_body` and `check_message_error` raise Violation, or return what the answer was.

Sources: types of the `anthropic` package (those of `beta.messages`, which know the agent's own tools), in their strict
form; what clients hold a stream to: `message_start` first, blocks one after another and numbered without gaps, one
`message_delta`, `message_stop` last, an `event:` line in each event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from anthropic.types import ErrorResponse
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from pydantic import BaseModel, ValidationError

from tests.support.conformance import Violation, _check_characters, _extras, _parse, _require, _require_keys

EVENTS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(BetaRawMessageStreamEvent)[0])
}
DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
}
"""The types of deltas that a block may have. A block of another type is complete in its start event."""
BLOCK_KEYS = {
    "text": {"type", "text"},
    "thinking": {"type", "thinking", "signature"},
    "tool_use": {"type", "id", "name", "input"},
    "mcp_tool_use": {"type", "id", "name", "server_name", "input"},
    "mcp_tool_result": {"type", "tool_use_id", "is_error", "content"},
}
UNTYPED_ERRORS = {"conflict_error", "request_too_large"}
"""Error types that the official package lists without a class."""
MESSAGE_KEYS = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}


@dataclass
class MessageAnswer:
    """A parsed answer."""

    id: str = ""
    model: str = ""
    content: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    """The error of a stream that failed."""
    pings: int = 0

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.content if block["type"] == "text")

    @property
    def thinking(self) -> str:
        return "".join(block["thinking"] for block in self.content if block["type"] == "thinking")

    @property
    def calls(self) -> list[tuple[str, str, dict[str, Any]]]:
        return [(block["id"], block["name"], block["input"]) for block in self.content if block["type"] == "tool_use"]

    @property
    def agent_calls(self) -> list[tuple[str, str, str]]:
        """Name, input as JSON, and output of each tool that the agent ran."""
        results = {block["tool_use_id"]: block for block in self.content if block["type"] == "mcp_tool_result"}
        return [
            (block["name"], json.dumps(block["input"]), results[block["id"]]["content"][0]["text"])
            for block in self.content
            if block["type"] == "mcp_tool_use"
        ]


def check_message_stream(raw: bytes) -> MessageAnswer:
    checker = _StreamChecker()
    for name, event in _events(raw):
        _require(event.get("type") == name, f"the event {name} says that it is {event.get('type')}")
        checker.take(name, event)
    return checker.end()


def check_message_body(raw: bytes) -> MessageAnswer:
    _check_characters(raw)
    message = _parse(raw.decode())
    _validate(BetaMessage, message)
    _require_keys(message, MESSAGE_KEYS, set(), "a message")
    answer = MessageAnswer(
        message["id"], message["model"], message["content"], message["stop_reason"], message["usage"]
    )
    _check_answer(answer)
    return answer


def check_message_error(raw: bytes) -> dict[str, Any]:
    _check_characters(raw)
    body = _parse(raw.decode())
    _require_keys(body, {"type", "error"}, {"request_id"}, "an error")
    return _error(body["error"])


def _events(raw: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    _check_characters(raw)
    _require(raw.endswith(b"\n\n"), "the stream does not end with an empty line")
    for number, block in enumerate(raw.decode().removesuffix("\n\n").split("\n\n"), 1):
        lines = block.split("\n")
        if lines == [": keep-alive"]:
            continue
        _require(len(lines) == 2, f"event {number} has not two lines: {block!r}")
        _require(lines[0].startswith("event: ") and lines[1].startswith("data: "), f"event {number}: {block!r}")
        yield lines[0].removeprefix("event: "), _parse(lines[1].removeprefix("data: "))


class _StreamChecker:
    """Takes the events of one stream in their order."""

    def __init__(self) -> None:
        self._answer = MessageAnswer()
        self._started = self._is_open = self._has_ending = self._over = False
        self._pieces: list[str] = []

    def take(self, kind: str, event: dict[str, Any]) -> None:
        _require(not self._over, f"{kind} follows the end")
        if kind == "ping":
            _require_keys(event, {"type"}, set(), "a ping")
            self._answer.pings += 1
            return
        _require(self._started == (kind != "message_start"), f"{kind} at the wrong place")
        if kind == "error":
            _require_keys(event, {"type", "error"}, set(), "an error event")
            self._answer.error = _error(event["error"])
            self._over = True
            return
        _validate(EVENTS[kind], event)
        {
            "message_start": self._start,
            "content_block_start": self._open,
            "content_block_delta": self._add,
            "content_block_stop": self._close,
            "message_delta": self._finish,
            "message_stop": self._stop,
        }[kind](event)

    def end(self) -> MessageAnswer:
        _require(self._over, "the stream ends without message_stop or error")
        if self._answer.error is None:
            _check_answer(self._answer)
        return self._answer

    def _start(self, event: dict[str, Any]) -> None:
        message = event["message"]
        _require_keys(message, MESSAGE_KEYS, set(), "a message")
        _require(message["content"] == [] and message["stop_reason"] is None, "the first event knows too much")
        self._answer.id, self._answer.model, self._started = message["id"], message["model"], True

    def _open(self, event: dict[str, Any]) -> None:
        _require(not self._is_open and not self._has_ending, "a block is opened beside another one, or too late")
        _require(event["index"] == len(self._answer.content), f"block {event['index']} is out of order")
        block = event["content_block"]
        for name in ("text", "thinking", "signature"):
            _require(not block.get(name), f"a block begins with its {name}")
        _require(block["type"] != "tool_use" or block["input"] == {}, "a call begins with its input")
        self._answer.content.append(block)
        self._pieces, self._is_open = [], True

    def _add(self, event: dict[str, Any]) -> None:
        _require(self._is_open and event["index"] == len(self._answer.content) - 1, "a delta for another block")
        block, delta = self._answer.content[-1], event["delta"]
        kind = delta["type"]
        _require(kind in DELTAS.get(block["type"], ()), f"{kind} in {block['type']}")
        if kind == "signature_delta":
            block["signature"] = delta["signature"]
        elif kind == "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
        else:
            (piece,) = (delta[key] for key in delta if key != "type")
            self._pieces.append(piece)

    def _close(self, event: dict[str, Any]) -> None:
        _require(self._is_open and event["index"] == len(self._answer.content) - 1, "another block is closed")
        block, self._is_open = self._answer.content[-1], False
        content = "".join(self._pieces)
        if block["type"] == "tool_use":
            block["input"] = _input(content)
        elif block["type"] in DELTAS:
            block[block["type"]] = content

    def _finish(self, event: dict[str, Any]) -> None:
        _require(not self._is_open and not self._has_ending, "the end comes twice, or within a block")
        _require_keys(event, {"type", "delta", "usage"}, set(), "the end")
        self._answer.stop_reason, self._answer.usage = event["delta"]["stop_reason"], event["usage"]
        self._has_ending = True

    def _stop(self, event: dict[str, Any]) -> None:
        _require(self._has_ending, "message_stop without message_delta")
        self._over = True


def _input(text: str) -> Any:
    """The input as the official client parses it. Only an object that is broken or cut is no object for it."""
    _require(not text.strip() or text.lstrip(" \t\n\r").startswith("{"), f"an input that is no object: {text[:100]!r}")
    try:
        return json.loads(text) if text.strip() else {}
    except ValueError:
        return {"arguments": text}


def _check_answer(answer: MessageAnswer) -> None:
    waiting = None
    for block in answer.content:
        optional = {"citations"} if block["type"] == "text" else set()
        _require_keys(block, BLOCK_KEYS[block["type"]], optional, f"a block {block['type']}")
        if block["type"] == "mcp_tool_result":
            _require(block["tool_use_id"] == waiting, "a result is not right behind its call")
        else:
            _require(waiting is None, "no result is right behind a call")
        waiting = block["id"] if block["type"] == "mcp_tool_use" else None
        _require(block["type"] != "thinking" or bool(block["signature"]), "thinking without a signature")
    _require(waiting is None, "a call without its result")
    ids = [call_id for call_id, _, _ in answer.calls]
    _require(len(set(ids)) == len(ids), f"two calls with one id: {ids}")
    allowed = {"tool_use", "max_tokens", "refusal"} if ids else {"end_turn", "max_tokens", "refusal"}
    _require(answer.stop_reason in allowed, f"{answer.stop_reason!r} does not fit {answer}")
    _require(answer.usage is not None, "no usage")


def _error(error: dict[str, Any]) -> dict[str, Any]:
    _require_keys(error, {"type", "message"}, set(), "an error")
    if error["type"] not in UNTYPED_ERRORS:
        _validate(ErrorResponse, {"type": "error", "error": error})
    _require(error["message"].strip() != "", "an error that says nothing")
    return error


def _validate(model: type[BaseModel], value: Any) -> None:
    try:
        parsed = model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise Violation(f"the official client's types refuse it: {error}") from error
    unknown = list(_extras(parsed, ""))
    _require(not unknown, f"fields that are not Anthropic's: {unknown}")
