"""Clients of each API for the fault sweeps: they build requests and read answers strictly.

An API that is added to CLIENTS goes through the sweeps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.messages_conformance import check_message_body, check_message_error, check_message_stream
from tests.support.pipeline import Options
from tests.support.proxy import CHAT
from tests.support.responses_conformance import ResponseAnswer, check_response_body, check_response_stream

TextOrError = tuple[str | None, dict[str, Any] | None]
"""The text of a success and None, or None and the error."""


@dataclass(frozen=True)
class ApiClient:
    """A client of one API. `read_stream` and `read_body` fail for any violation of the protocol."""

    name: str
    path: str
    build: Callable[[str, Mapping[str, Any]], dict[str, Any]]
    """The prompt, and the other fields of a chat request → the body of this API's request."""
    read_stream: Callable[[bytes, Options], TextOrError]
    read_body: Callable[[bytes, Options], TextOrError]
    read_error: Callable[[bytes], dict[str, Any]] = check_error_body
    """Reads the body of an answer with an error status."""
    tools_shown_by_default: str = "hide"
    """The meaning of `server_tools = auto` in this API."""

    def request(self, prompt: str, fields: Mapping[str, Any], *, stream: bool) -> bytes:
        more = {name: value for name, value in fields.items() if stream or name != "stream_options"}
        return json.dumps({"model": "default", "stream": stream, **self.build(prompt, more)}).encode()

    def read(self, status: int, body: bytes, options: Options, *, stream: bool) -> TextOrError:
        if status != 200:
            return None, self.read_error(body)
        return self.read_stream(body, options) if stream else self.read_body(body, options)

    def options(self, options: Options) -> Options:
        """The options of this API's answer that correspond to `options`, those of a chat answer."""
        hides = options.server_tools == "hide"
        return options._replace(server_tools=self.tools_shown_by_default) if hides else options

    def __str__(self) -> str:
        return self.name


def _read_chat_stream(body: bytes, options: Options) -> TextOrError:
    answer = check_stream(body, include_usage=options.include_usage, reasoning_field=options.reasoning_field)
    return (answer.text, None) if answer.error is None else (None, answer.error)


CHAT_CLIENT = ApiClient(
    name="chat",
    path=CHAT,
    build=lambda prompt, fields: {"messages": [{"role": "user", "content": prompt}], **fields},
    read_stream=_read_chat_stream,
    read_body=lambda body, options: (check_body(body, reasoning_field=options.reasoning_field).text, None),
)


def _build_response(prompt: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    functions = [*fields.get("functions", ()), *(tool["function"] for tool in fields.get("tools", ()))]
    tools = [{"type": "function", **function} for function in functions]
    return {"input": prompt, "tools": tools, "store": False}  # a stored response would keep its session


def _read_response(answer: ResponseAnswer) -> TextOrError:
    return (None, answer.error) if answer.status == "failed" else (answer.text, None)


RESPONSES_CLIENT = ApiClient(
    name="responses",
    path="/v1/responses",
    build=_build_response,
    read_stream=lambda body, options: _read_response(check_response_stream(body)),
    read_body=lambda body, options: _read_response(check_response_body(body)),
    tools_shown_by_default="items",
)


def _build_message(prompt: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    functions = [*fields.get("functions", ()), *(tool["function"] for tool in fields.get("tools", ()))]
    tools = [{"name": each["name"], "input_schema": each.get("parameters") or {}} for each in functions]
    return {"max_tokens": 100, "messages": [{"role": "user", "content": prompt}], "tools": tools}


def _read_message_stream(body: bytes, options: Options) -> TextOrError:
    answer = check_message_stream(body)
    return (answer.text, None) if answer.error is None else (None, answer.error)


MESSAGES_CLIENT = ApiClient(
    name="messages",
    path="/v1/messages",
    build=_build_message,
    read_stream=_read_message_stream,
    read_body=lambda body, options: (check_message_body(body).text, None),
    read_error=check_message_error,
    tools_shown_by_default="items",
)

CLIENTS = (CHAT_CLIENT, RESPONSES_CLIENT, MESSAGES_CLIENT)
