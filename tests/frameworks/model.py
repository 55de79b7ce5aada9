"""The model behind every framework: OpenAI's chat completions on a port of this machine, answered by a script.

What it does follows from the last message: a user's word names the tool to call or the text to say, and a tool's
result is repeated. So every framework's own OpenAI client and its own loop are what is tested.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GREETING = "Hello from the harbor."
BEFORE_CALL = "Let me look."
FAILURE = "The crystal ball broke."
ARGUMENTS = {
    "almanac": {"port": "Brest"},
    "tide": {"port": "Brest"},
    "launch": {"ship": "Pen Duick", "reason": "race"},
}
"""Tools that are called if the user names them, and what with."""
RESULT = re.compile(r"^\[\d+\] result of tool call .*\n> (.*)\n=== End .*Continue", re.MULTILINE)
"""A tool's result at the end of a conversation that the proxy has folded into one message."""
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content or ""


def reply(request: dict[str, Any]) -> tuple[str, str]:
    """A text, and the name of a tool to call."""
    messages = request["messages"]
    last = messages[-1]
    if last["role"] == "tool":
        return f"It says {text_of(last)}.", ""
    prompt = next((text_of(message) for message in reversed(messages) if message["role"] == "user"), "")
    if len(messages) > 1 and "<tool_call>" in text_of(messages[-2]):  # LlamaIndex writes calls and results as text
        return f"It says {text_of(last)}.", ""
    if folded := RESULT.findall(prompt):
        return f"It says {folded[-1]}.", ""
    offered = {tool["function"]["name"] for tool in request.get("tools") or ()}
    wanted = next((name for name in ARGUMENTS if name in prompt.splitlines()[-1:][0] and name in offered), "")
    if wanted:
        return BEFORE_CALL, wanted
    if "summary" in prompt:
        users = [text_of(message) for message in messages if message["role"] in ("user", "assistant")]
        return json.dumps(users), ""
    return GREETING, ""


def chunks(request: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """The deltas of a stream."""
    text, name = reply(request)
    middle = len(text) // 2
    yield {"role": "assistant", "content": text[:middle]}
    yield {"content": text[middle:]}
    if name:
        arguments = json.dumps(ARGUMENTS[name])
        head = {"index": 0, "id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": ""}}
        yield {"tool_calls": [head]}
        yield {"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    calls = 0
    requests: list[dict[str, Any]]

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).calls += 1
        type(self).requests.append(request)
        prompt = next((text_of(each) for each in reversed(request["messages"]) if each["role"] == "user"), "")
        if prompt.endswith("fail"):
            return self._answer(400, {"error": {"message": FAILURE, "type": "invalid_request_error"}})
        if not request.get("stream"):
            return self._answer(200, self._whole(request))
        return self._stream(request)

    def _whole(self, request: dict[str, Any]) -> dict[str, Any]:
        text, name = reply(request)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if name:
            function = {"name": name, "arguments": json.dumps(ARGUMENTS[name])}
            message["tool_calls"] = [{"id": f"call_{self.calls}", "type": "function", "function": function}]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if name else "stop"}
        return {**self._envelope("chat.completion"), "choices": [choice], "usage": USAGE}

    def _stream(self, request: dict[str, Any]) -> None:
        envelope = self._envelope("chat.completion.chunk")
        deltas = list(chunks(request, self.calls))
        called = any("tool_calls" in delta for delta in deltas)
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls" if called else "stop"})
        events = [{**envelope, "choices": [choice]} for choice in choices]
        events.append({**envelope, "choices": [], "usage": USAGE})
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        self._send(200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self.calls}", "object": kind, "created": 1790000000, "model": "scripted"}

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """No log."""


@contextmanager
def serving() -> Iterator[str]:
    """The base URL for OpenAI's clients."""
    handler = type("ScriptedHandler", (Handler,), {"requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, name="model")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
