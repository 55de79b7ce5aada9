"""Streams and bodies of the Responses API, made of parts for unit tests."""

import json
from typing import Any

from oaicompat_proxy.api.openai.responses.answer.body import ResponseBuilder
from oaicompat_proxy.api.openai.responses.answer.encoder import ResponseEncoder
from oaicompat_proxy.api.openai.responses.answer.output import OutputOptions
from oaicompat_proxy.api.openai.responses.answer.response_object import echo_of, encode_echo
from oaicompat_proxy.core import json_text
from oaicompat_proxy.core.answer import (
    AnswerFinished,
    AnswerStarted,
    Envelope,
    FinishReason,
    Part,
    TextBatch,
)
from oaicompat_proxy.core.errors import ProxyError
from tests.support.responses_conformance import ResponseAnswer, check_response_body, check_response_stream

ENVELOPE = Envelope("resp_c1", 1790000000, "owl")
PLAIN = OutputOptions("owl")
MAX_ANSWER = 100_000
STOP = AnswerFinished(FinishReason.STOP)
QUESTION = json.dumps({"message": "May I?", "tool": "tide", "arguments": {"port": "Brest"}})


def batch(*texts: str) -> TextBatch:
    return TextBatch("".join(texts), [json_text.encode(text)[1:-1] for text in texts])


def new_encoder(options: OutputOptions = PLAIN, body: Any = None) -> ResponseEncoder:
    return ResponseEncoder(ENVELOPE, echo=encode_echo(echo_of(body or {})), options=options, max_answer=MAX_ANSWER)


def stream(*parts: Part, options: OutputOptions = PLAIN, failure: ProxyError | None = None) -> bytes:
    encoder = new_encoder(options)
    sent = b"".join(map(encoder.encode, (AnswerStarted(), *parts)))
    return sent + (encoder.end() if failure is None else encoder.fail(failure))


def body(*parts: Part, options: OutputOptions = PLAIN) -> bytes:
    builder = ResponseBuilder(ENVELOPE, echo=encode_echo({}), options=options)
    for part in (AnswerStarted(), *parts):
        builder.add(part)
    return builder.body()


def events(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in raw.decode().split("\n") if line.startswith("data: ")]


def kinds(raw: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events(raw)]


def answer(*parts: Part, options: OutputOptions = PLAIN) -> ResponseAnswer:
    """The answer; checks that the stream and the body are equal."""
    streamed = check_response_stream(stream(*parts, options=options))
    assert streamed == check_response_body(body(*parts, options=options))
    return streamed
