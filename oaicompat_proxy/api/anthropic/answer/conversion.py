"""Converts a complete answer: the events of a stream to the whole message, and back.

Source: `api/anthropic/PROTOCOL.md`, "Stream".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from ....core import json_text
from .body import BlockCollector
from .encoder import EventWriter
from .frames import encode_event

_DATA = b"data: "


def convert(answer: bytes, stream: bool) -> bytes:
    """`answer`: from `MessageEncoder` or `MessageBuilder`. `stream`: whether the result is a stream."""
    return to_stream(answer) if stream else to_body(answer)


def to_body(stream: bytes) -> bytes:
    message: dict[str, Any] = {}
    blocks = BlockCollector()
    for event in _events(stream):
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
        elif kind == "content_block_start":
            blocks.open(event["content_block"])
        elif kind == "content_block_delta":
            _collect(event["delta"], blocks)
        elif kind == "content_block_stop":
            blocks.close()
        elif kind == "message_delta":
            message |= event["delta"]
            message["usage"] = event["usage"]
    return json_text.encode({**message, "content": blocks.content})


def to_stream(body: bytes) -> bytes:
    message = orjson.loads(body)
    start = {**message, "content": [], "stop_reason": None, "usage": {"input_tokens": 0, "output_tokens": 0}}
    end = {name: message[name] for name in ("stop_reason", "stop_sequence")}
    writer = EventWriter()
    return b"".join(
        [
            encode_event(b"message_start", b',"message":%b' % json_text.encode(start)),
            *(_write(block, writer) for block in message["content"]),
            encode_event(
                b"message_delta",
                b',"delta":%b,"usage":%b' % (json_text.encode(end), json_text.encode(message["usage"])),
            ),
            encode_event(b"message_stop"),
        ]
    )


def _events(stream: bytes) -> Iterator[dict[str, Any]]:
    for line in stream.split(b"\n"):
        if line.startswith(_DATA):
            yield orjson.loads(line[len(_DATA) :])


def _collect(delta: dict[str, Any], blocks: BlockCollector) -> None:
    kind = delta["type"]
    if kind == "text_delta":
        blocks.add_text([], delta["text"])
    elif kind == "thinking_delta":
        blocks.add_thinking(delta["thinking"])
    elif kind == "input_json_delta":
        blocks.add_arguments(delta["partial_json"])
    elif kind == "signature_delta":
        blocks.sign(delta["signature"])
    elif kind == "citations_delta":
        blocks.cite(delta["citation"])


def _write(block: dict[str, Any], writer: EventWriter) -> bytes:
    kind = block["type"]
    if kind == "text":
        text = block["text"]
        events = [writer.open({"type": kind, "text": ""})]
        events += [writer.add_text([json_text.encode(text)[1:-1]], text)] if text else []
        events += [writer.cite(each) for each in block.get("citations", ())]
    elif kind == "thinking":
        events = [
            writer.open({"type": kind, "thinking": "", "signature": ""}),
            writer.add_thinking(block["thinking"]),
            writer.sign(block["signature"]),
        ]
    elif kind == "tool_use":
        events = [writer.open({**block, "input": {}}), writer.add_arguments(json_text.encode(block["input"]).decode())]
    else:
        events = [writer.open(block)]
    return b"".join([*events, writer.close()])
