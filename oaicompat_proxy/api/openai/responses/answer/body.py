"""The parts of an answer → one `response` object, for a client that does not stream."""

from __future__ import annotations

from .....core.answer import Envelope, Part, UsageTotals
from ....protocol import Clock, no_clock
from .encoder import finished
from .output import Output, OutputOptions
from .response_object import ResponseObject


class ResponseBuilder:
    """Collects all parts of an answer; `body()` may be called after AnswerFinished."""

    def __init__(self, envelope: Envelope, *, echo: bytes, options: OutputOptions, clock: Clock = no_clock) -> None:
        """The arguments are those of `ResponseEncoder`."""
        self._response = ResponseObject(envelope, echo, clock)
        self.id = envelope.id
        self.output = Output(envelope.id.partition("_")[2], options)
        # state
        self._usage: UsageTotals | None = None

    def add(self, part: Part) -> None:
        if isinstance(part, UsageTotals):
            self._usage = part
        else:
            self.output.add(part)

    def body(self) -> bytes:
        """The whole response as JSON: equal to that of a stream's terminal event."""
        return self._response.encode(finished(self.output, self._usage))
