"""Streams, bodies and requests of the Messages API, made of parts for unit tests."""

from __future__ import annotations

import json
from typing import Any

from oaicompat_proxy.api.anthropic.answer.blocks import BlockOptions
from oaicompat_proxy.api.anthropic.answer.body import MessageBuilder
from oaicompat_proxy.api.anthropic.answer.encoder import MessageEncoder
from oaicompat_proxy.core import json_text
from oaicompat_proxy.core.answer import AnswerFinished, AnswerStarted, Envelope, FinishReason, Part, TextBatch
from oaicompat_proxy.core.errors import ProxyError
from tests.support.messages_conformance import MessageAnswer, check_message_body, check_message_stream

ENVELOPE = Envelope("msg_c1", 1790000000, "owl")
OPTIONS = BlockOptions(ENVELOPE.id, "owl")
STOP = AnswerFinished(FinishReason.STOP)
CALLS = AnswerFinished(FinishReason.TOOL_CALLS)


def batch(*texts: str) -> TextBatch:
    return TextBatch("".join(texts), [json_text.encode(text)[1:-1] for text in texts])


def stream(*parts: Part, options: BlockOptions = OPTIONS, failure: ProxyError | None = None) -> bytes:
    encoder = MessageEncoder(ENVELOPE, options)
    sent = b"".join(map(encoder.encode, (AnswerStarted(), *parts)))
    return sent + (encoder.end() if failure is None else encoder.fail(failure))


def body(*parts: Part, options: BlockOptions = OPTIONS) -> bytes:
    builder = MessageBuilder(ENVELOPE, options)
    for part in (AnswerStarted(), *parts):
        builder.add(part)
    return builder.body()


def answer(*parts: Part, options: BlockOptions = OPTIONS) -> MessageAnswer:
    """The answer; checks that the stream and the body are equal."""
    streamed = check_message_stream(stream(*parts, options=options))
    assert streamed == check_message_body(body(*parts, options=options))
    return streamed


def events(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in raw.decode().split("\n") if line.startswith("data: ")]


def request(*messages: dict[str, Any], **fields: Any) -> bytes:
    """A request's body; one user message if none is given."""
    asked = list(messages) or [{"role": "user", "content": "Hi"}]
    return json.dumps({"model": "owl", "max_tokens": 100, "messages": asked, **fields}).encode()
