"""The parts of an answer → the events of a Responses stream.

Source: OpenAI API description, `ResponseStreamEvent`; order and fields as the official clients require them.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from .....core import json_text
from .....core.answer import AnswerStarted, Envelope, Part, TextBatch, TextPart, UsageTotals, size_of
from .....core.errors import ProxyError, UpstreamAnswerTooLong
from ....protocol import Clock, no_clock
from .failures import encode_error, encode_failure, failed_status
from .frames import Event, encode_event
from .output import Output, OutputOptions
from .response_object import ResponseObject, ResponseState, encode_usage, failed_body

_TOO_LONG = "The agent's answer is longer than this server holds."


class ResponseEncoder:
    """Encodes one stream: `encode` each part, then `end` or `fail` once."""

    def __init__(
        self, envelope: Envelope, *, echo: bytes, options: OutputOptions, max_answer: int, clock: Clock = no_clock
    ) -> None:
        """`echo`: from `encode_echo`. `max_answer`: characters of the answer, which is buffered until its end."""
        self._response = ResponseObject(envelope, echo, clock)
        self.id = envelope.id
        self.output = Output(envelope.id.partition("_")[2], options)
        # state
        self.chunks = 0
        """Number of events encoded so far, which is the next one's `sequence_number`."""
        self._left = max_answer
        self._usage: UsageTotals | None = None

    def encode(self, part: Part) -> bytes:
        """The events of one part; empty if it has none. Raises UpstreamAnswerTooLong."""
        kind = type(part)
        if kind is TextBatch:
            return self._encode_text(part.text, part.encoded)  # type: ignore[union-attr]
        if kind is TextPart:
            return self._encode_text(part.text, [json_text.encode(part.text)[1:-1]])  # type: ignore[union-attr]
        if kind is AnswerStarted:
            return self._start()
        if kind is UsageTotals:
            self._usage = part  # type: ignore[assignment]
            return b""
        self._count(size_of(part))
        return self._encode_all(self.output.add(part))

    def ping(self) -> bytes:
        """A keep-alive: a normal event that changes nothing, such as an empty delta; `chunks` does not count it.

        It repeats the number of the previous event, because a replayed stream has no keep-alives.
        """
        event = self.output.idle() or self._lifecycle("in_progress", ResponseState("in_progress", self.output.encode()))
        return encode_event(event, max(self.chunks - 1, 0))

    def end(self) -> bytes:
        """The terminal event."""
        status = "completed" if self.output.incomplete_reason is None else "incomplete"
        state = finished(self.output, self._usage)
        return self._encode_all([self._lifecycle(status, state)])

    def body(self) -> bytes:
        """The whole response as JSON, as the terminal event has it."""
        return self._response.encode(finished(self.output, self._usage))

    def fail(self, error: ProxyError) -> bytes:
        """The event `error`, on which official clients raise, and `response.failed`, for which other clients wait.

        The API has no event for a cancelled response: only the status of the response in `response.failed` tells it.
        """
        start = self._start() if not self.chunks else b""
        failure = ResponseState(failed_status(error), self.output.encode(), error=encode_failure(error))
        return start + self._encode_all(
            [Event("error", b'"error":%b' % encode_error(error)), self._lifecycle("failed", failure)]
        )

    def _start(self) -> bytes:
        state = ResponseState("in_progress")
        return self._encode_all([self._lifecycle(name, state) for name in ("created", "in_progress")])

    def _encode_text(self, text: str, deltas: list[bytes]) -> bytes:
        """`deltas`: the pieces of the text, each as the inside of a JSON string. `_count` is inlined to save a call."""
        self._left -= len(text)
        if self._left < 0:
            raise UpstreamAnswerTooLong(_TOO_LONG)
        message, opening = self.output.message, b""
        if message is None:
            opening = self._encode_all(self.output.open_message())
            message = self.output.message
            assert message is not None
        message.pieces.append(text)
        number = self.chunks
        self.chunks = number + len(deltas)
        return opening + message.deltas.encode(number, deltas)

    def _count(self, size: int) -> None:
        """Counts characters: the whole answer is buffered, because the terminal event repeats it."""
        self._left -= size
        if self._left < 0:
            raise UpstreamAnswerTooLong(_TOO_LONG)

    def _lifecycle(self, name: str, state: ResponseState) -> Event:
        return Event(f"response.{name}", b'"response":%b' % self._response.encode(state))

    def _encode_all(self, events: Iterable[Event]) -> bytes:
        encoded = [encode_event(event, number) for number, event in enumerate(events, self.chunks)]
        self.chunks += len(encoded)
        return b"".join(encoded)


def encode_lost_end(body: bytes, error: ProxyError, number: int) -> bytes:
    """Last events for a stream whose own were lost. `body`: the last stored response. `number`: of the first event."""
    response = failed_body(body, error, b"")
    status = orjson.loads(response)["status"]
    ending = status if status in ("completed", "incomplete") else "failed"
    events = (
        Event("error", b'"error":%b' % encode_error(error)),
        Event(f"response.{ending}", b'"response":%b' % response),
    )
    return b"".join(encode_event(event, number + index) for index, event in enumerate(events))


def finished(output: Output, usage: UsageTotals | None) -> ResponseState:
    """The state of an answer after AnswerFinished."""
    reason = output.incomplete_reason
    if reason is None:
        return ResponseState("completed", output.encode(), encode_usage(usage))
    details = b'{"reason":"%b"}' % reason.encode()
    return ResponseState("incomplete", output.encode(), encode_usage(usage), incomplete_details=details)
