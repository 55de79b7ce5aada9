"""Strict checks of chat answers: the raw bytes, the official client's types, the order of chunks.

`check_stream`, `check_body` and `check_error_body` raise Violation, or return the parsed answer.

Sources: OpenAI API description, `CreateChatCompletionStreamResponse`, `CreateChatCompletionResponse`, `ErrorResponse`;
what the official clients' helpers break on (an `id` twice, a gap in `index`, interleaved calls, a line that is not
`data:`). Stricter than either where this project has decided: one kind of delta a chunk, nothing empty, one ending.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pydantic
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.chat_completion_message import Annotation

DONE = "[DONE]"
PING = b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":null}]}\n\n'
"""The last bytes of a keep-alive, without usage and outside of reasoning."""
REASONING_FIELDS = {
    "reasoning_content": ("reasoning_content",),
    "reasoning": ("reasoning",),
    "both": ("reasoning_content", "reasoning"),
    "none": (),
}
CALLS_MAY_END_WITH = {"tool_calls", "length", "content_filter"}
LINE_ENDS_TO_SOME = {b"\r": "CR", b"\xe2\x80\xa8": "U+2028", b"\xe2\x80\xa9": "U+2029", b"\xc2\x85": "U+0085"}


class Violation(AssertionError):
    """The answer breaks a rule; some client may fail on it."""


@dataclass
class Answer:
    """A parsed answer. `error` is set if the stream ended with an error frame; then there is no finish reason."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[tuple[str, str, str]] = field(default_factory=list)
    """(id, name, arguments)"""
    function_call: tuple[str, str] | None = None
    """(name, arguments), for clients that use the older `functions`."""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    role: str | None = None
    annotations: list[dict[str, Any]] = field(default_factory=list)
    id: str | None = None
    created: int | None = None
    model: str | None = None
    pings: int = 0
    """Keep-alives in the form of chunks."""


def check_stream(raw: bytes, *, include_usage: bool, reasoning_field: str = "reasoning_content") -> Answer:
    """The whole body of a streamed answer."""
    payloads = list(_payloads(raw))
    if not payloads or payloads.pop() != DONE:
        _refuse("the stream does not end with [DONE]")
    checker = _StreamChecker(include_usage, REASONING_FIELDS[reasoning_field])
    for payload in payloads:
        checker.take(_parse(payload))
    return checker.end()


def check_body(raw: bytes, *, reasoning_field: str = "reasoning_content") -> Answer:
    """The body of an answer that is not streamed."""
    _check_characters(raw)
    body = _parse(raw.decode())
    fields = REASONING_FIELDS[reasoning_field]
    completion = _validate(ChatCompletion, body, fields)
    _require_keys(body, {"id", "object", "created", "model", "choices"}, {"usage"}, "a completion")
    _require(len(completion.choices) == 1, "a completion has one choice")
    choice = body["choices"][0]
    _require_keys(choice, {"index", "message", "logprobs", "finish_reason"}, set(), "a choice")
    message = choice["message"]
    required = {"role", "content", "refusal", "annotations"}
    _require_keys(message, required, {"tool_calls", "function_call", *fields}, "a message")
    answer = Answer(
        text=message["content"] or "",
        reasoning=_same(message, fields),
        finish_reason=choice["finish_reason"],
        usage=_usage(body["usage"]) if "usage" in body else None,
        role=message["role"],
        annotations=_annotations(message["annotations"], message["content"] or ""),
        id=completion.id,
        created=completion.created,
        model=completion.model,
    )
    _take_whole_calls(answer, message)
    _require(message["content"] is not None or _has_calls(answer), "content is null without a call")
    _require(message["content"] != "" or not _has_calls(answer), "content is empty, not null, beside a call")
    _check_ending(answer)
    return answer


def check_error_body(raw: bytes) -> dict[str, Any]:
    """The body of an answer with an error status; returns its `error` object."""
    _check_characters(raw)
    return _error(_parse(raw.decode()))


class _StreamChecker:
    """Takes the chunks of one stream in their order."""

    def __init__(self, include_usage: bool, reasoning_fields: tuple[str, ...]) -> None:
        self._include_usage = include_usage
        self._reasoning_fields = reasoning_fields
        # state
        self._answer = Answer()
        self._next_must_be_call = False
        self._reasons = False

    def take(self, chunk: Any) -> None:
        answer = self._answer
        _require(answer.error is None, "something follows the error frame")
        _require(answer.usage is None, "something follows the usage chunk")
        if isinstance(chunk, dict) and "error" in chunk:
            _require(answer.finish_reason is None, "an error frame follows the finish chunk")
            answer.error = _error(chunk)
            return
        _validate(ChatCompletionChunk, chunk, (*self._reasoning_fields, "annotations"))
        usage_key = {"usage"} if self._include_usage else set()
        _require_keys(chunk, {"id", "object", "created", "model", "choices", *usage_key}, set(), "a chunk")
        self._check_envelope(chunk)
        if answer.finish_reason is not None:
            self._take_usage(chunk)
        else:
            self._take_choice(chunk)

    def end(self) -> Answer:
        answer = self._answer
        _require(answer.error is not None or answer.finish_reason is not None, "neither a finish chunk nor an error")
        if answer.error is None:
            _check_ending(answer)
        return answer

    def _check_envelope(self, chunk: dict[str, Any]) -> None:
        answer = self._answer
        shared = (chunk["id"], chunk["created"], chunk["model"])
        if answer.id is None:
            answer.id, answer.created, answer.model = shared
        _require(shared == (answer.id, answer.created, answer.model), f"id, created or model changed to {shared}")

    def _take_usage(self, chunk: dict[str, Any]) -> None:
        _require(chunk["choices"] == [], "a choice follows the finish chunk")
        _require(self._include_usage, "a usage chunk that nobody asked for")
        self._answer.usage = _usage(chunk["usage"])

    def _take_choice(self, chunk: dict[str, Any]) -> None:
        _require(len(chunk["choices"]) == 1, "a chunk before the finish has one choice")
        _require(chunk.get("usage") is None, "usage before the finish chunk")
        choice = chunk["choices"][0]
        _require_keys(choice, {"index", "delta", "logprobs", "finish_reason"}, set(), "a choice")
        _require(choice["index"] == 0, "the only choice has index 0")
        _require(choice["logprobs"] is None, "logprobs that nobody asked for")
        delta, reason = choice["delta"], choice["finish_reason"]
        if self._answer.role is None:
            _require(reason is None, "the first chunk is the role's")
            self._take_role(delta)
        elif reason is not None:
            _require(delta == {}, "the finish chunk says something")
            self._answer.finish_reason = reason
        else:
            self._take_delta(delta)

    def _take_role(self, delta: dict[str, Any]) -> None:
        _require(delta.get("role") == "assistant", "the first chunk has no role")
        _require(delta in ({**delta, "content": ""}, {**delta, "content": None}), "the role chunk has text")
        _require_keys(delta, {"role", "content", "refusal"}, set(), "the role's delta")
        self._answer.role = delta["role"]
        self._next_must_be_call = delta["content"] is None

    def _take_delta(self, delta: dict[str, Any]) -> None:
        answer = self._answer
        if delta == (dict.fromkeys(self._reasoning_fields, "") if self._reasons else {}):
            answer.pings += 1
            return
        self._reasons = bool(self._reasoning_fields) and delta.keys() == set(self._reasoning_fields)
        is_call = bool({"tool_calls", "function_call"} & delta.keys())
        _require(is_call or not self._next_must_be_call, "the role chunk announced a tool call")
        self._next_must_be_call = False
        _require(not answer.annotations, "a delta follows the annotations")
        if delta.keys() == {"content"}:
            answer.text += _said(delta["content"])
        elif delta.keys() == {"tool_calls"}:
            self._take_call(delta["tool_calls"])
        elif delta.keys() == {"function_call"}:
            self._take_function(delta["function_call"])
        elif delta.keys() == {"annotations"}:
            answer.annotations = _annotations(delta["annotations"], answer.text)
            _require(answer.annotations != [], "annotations that annotate nothing")
        elif self._reasons:
            answer.reasoning += _said(_same(delta, self._reasoning_fields))
        else:
            _refuse(f"a delta of no kind, or of two: {sorted(delta)}")

    def _take_call(self, items: list[dict[str, Any]]) -> None:
        calls = self._answer.tool_calls
        _require(self._answer.function_call is None, "tool_calls beside function_call")
        _require(len(items) == 1, "a chunk carries one piece of one call")
        item = items[0]
        if item["index"] == len(calls):
            _require_keys(item, {"index", "id", "type", "function"}, set(), "a call's head")
            head = item["function"]
            _require_keys(head, {"name", "arguments"}, set(), "a call's head")
            _require(head["arguments"] == "", "a call's head has arguments")
            calls.append((_said(item["id"]), _said(head["name"]), ""))
            return
        _require(item["index"] == len(calls) - 1, f"index {item['index']} after {len(calls)} calls: gap or interleaved")
        _require_keys(item, {"index", "function"}, set(), "a piece of a call")
        _require_keys(item["function"], {"arguments"}, set(), "a piece of a call")
        call_id, name, arguments = calls[-1]
        calls[-1] = (call_id, name, arguments + _said(item["function"]["arguments"]))

    def _take_function(self, function: dict[str, Any]) -> None:
        answer = self._answer
        _require(not answer.tool_calls, "function_call beside tool_calls")
        if answer.function_call is None:
            _require_keys(function, {"name", "arguments"}, set(), "a function's head")
            _require(function["arguments"] == "", "a function's head has arguments")
            answer.function_call = (_said(function["name"]), "")
            return
        _require_keys(function, {"arguments"}, set(), "a piece of a function call")
        name, arguments = answer.function_call
        answer.function_call = (name, arguments + _said(function["arguments"]))


def _payloads(raw: bytes) -> Iterator[str]:
    """The data of each event. Comments are left out."""
    _check_characters(raw)
    _require(raw.endswith(b"\n\n"), "the stream does not end with an empty line")
    blocks = raw.decode().removesuffix("\n\n").split("\n\n")
    for number, block in enumerate(blocks, 1):
        _require("\n" not in block, f"event {number} has more than one line, or one empty line too many: {block!r}")
        _require(block.startswith((":", "data: ")), f"event {number} is neither data nor comment: {block!r}")
        _require(not block.startswith(":") or number < len(blocks), "a comment follows the end")
        if block.startswith("data: "):
            payload = block.removeprefix("data: ")
            _require(payload != DONE or number == len(blocks), "something follows [DONE]")
            yield payload


def _check_characters(raw: bytes) -> None:
    for sequence, name in LINE_ENDS_TO_SOME.items():
        _require(sequence not in raw, f"raw {name}, which some readers take for a line end")
    _require(not raw.startswith(b"\xef\xbb\xbf"), "a byte-order mark costs the official client its first event")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        _refuse(f"no UTF-8: {error}")


def _parse(payload: str) -> Any:
    """JSON on one line, without NaN, repeated keys or lone surrogates."""
    _require("\n" not in payload, "JSON on more than one line")
    try:
        value = json.loads(payload, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except ValueError as error:
        _refuse(f"no JSON: {error}: {payload!r}")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        _refuse(f"a lone surrogate: {payload!r}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _require(len(dict(pairs)) == len(pairs), f"a key twice: {[key for key, _ in pairs]}")
    return dict(pairs)


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"{name} is no JSON")


def _validate(model: type[Any], value: Any, known_extras: Sequence[str]) -> Any:
    try:
        parsed = model.model_validate(value, strict=True)
    except pydantic.ValidationError as error:
        raise Violation(f"the official client's types refuse it: {error}") from error
    for path, name in _extras(parsed, ""):
        _require(name in known_extras, f"a field that is not OpenAI's: {path}.{name}")
    return parsed


def _extras(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every field that the official client's types do not have, with its path."""
    if isinstance(value, pydantic.BaseModel):
        yield from ((path, name) for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _extras(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _extras(item, f"{path}[{index}]")


def _require_keys(value: dict[str, Any], required: set[str], optional: set[str], what: str) -> None:
    missing, unknown = required - value.keys(), value.keys() - required - optional
    _require(not missing, f"{what} lacks {sorted(missing)}")
    _require(not unknown, f"{what} has {sorted(unknown)}")


def _error(body: Any) -> dict[str, Any]:
    _require(isinstance(body, dict) and body.keys() == {"error"}, "an error stands alone under `error`")
    error = body["error"]
    _require(isinstance(error, dict), "an error is an object")
    _require_keys(error, {"message", "type", "param", "code"}, set(), "an error")
    for name in ("message", "type"):
        _require(isinstance(error[name], str) and error[name].strip() != "", f"the error's {name} says nothing")
    for name in ("param", "code"):
        _require(error[name] is None or isinstance(error[name], str), f"the error's {name} is no string")
    return error


def _usage(usage: Any) -> dict[str, Any]:
    _require(isinstance(usage, dict), "usage is no object")
    for name, count in usage.items():
        counts = count.values() if isinstance(count, dict) else [count]
        _require(all(type(each) is int and each >= 0 for each in counts), f"usage.{name} is no count: {count!r}")
    return usage


def _annotations(annotations: Any, text: str) -> list[dict[str, Any]]:
    """Citations, each of a place within the text."""
    _require(isinstance(annotations, list), "annotations are no list")
    for annotation in annotations:
        _validate(Annotation, annotation, ())
        citation = annotation["url_citation"]
        start, end = citation["start_index"], citation["end_index"]
        _require(0 <= start <= end <= len(text), f"a citation of {start} to {end} in {len(text)} characters")
    return annotations


def _take_whole_calls(answer: Answer, message: dict[str, Any]) -> None:
    if "tool_calls" in message:
        _require(message["tool_calls"] != [], "tool_calls is empty")
        for call in message["tool_calls"]:
            kind, words = ("custom", "input") if call.get("type") == "custom" else ("function", "arguments")
            _require_keys(call, {"id", "type", kind}, set(), "a call")
            called = call[kind]
            _require_keys(called, {"name", words}, set(), f"a {kind}")
            answer.tool_calls.append((_said(call["id"]), _said(called["name"]), called[words]))
    if "function_call" in message:
        _require(not answer.tool_calls, "function_call beside tool_calls")
        function = message["function_call"]
        _require_keys(function, {"name", "arguments"}, set(), "a function call")
        answer.function_call = (_said(function["name"]), function["arguments"])


def _check_ending(answer: Answer) -> None:
    """The finish reason fits the content; calls are complete and have different ids."""
    ids = [call_id for call_id, _, _ in answer.tool_calls]
    _require(len(set(ids)) == len(ids), f"two calls with one id: {ids}")
    _require(all(arguments for _, _, arguments in answer.tool_calls), 'a call without arguments, not even "{}"')
    if answer.function_call is not None:
        _require(answer.function_call[1] != "", 'a function call without arguments, not even "{}"')
        allowed = CALLS_MAY_END_WITH - {"tool_calls"} | {"function_call"}
    elif answer.tool_calls:
        allowed = CALLS_MAY_END_WITH
    else:
        allowed = {"stop", "length", "content_filter"}
    _require(answer.finish_reason in allowed, f"{answer.finish_reason!r} does not fit {answer}")


def _has_calls(answer: Answer) -> bool:
    return bool(answer.tool_calls) or answer.function_call is not None


def _same(holder: dict[str, Any], fields: Sequence[str]) -> str:
    """The common value of the fields; empty if none is present."""
    values = {holder[name] for name in fields if name in holder}
    present = [name for name in fields if name in holder]
    _require(len(values) <= 1 and len(present) in (0, len(fields)), f"{list(fields)} differ")
    value = values.pop() if values else ""
    _require(isinstance(value, str), "reasoning is no string")
    return value


def _said(text: Any) -> str:
    _require(isinstance(text, str) and text != "", f"a piece that says nothing: {text!r}")
    return text


def _require(condition: bool, fault: str) -> None:
    if not condition:
        _refuse(fault)


def _refuse(fault: str) -> NoReturn:
    raise Violation(fault)
