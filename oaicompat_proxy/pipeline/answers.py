"""Events of one run in, the bytes of one answer out: a translator and an encoder of the client's API put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from ..api.protocol import BodyBuilder, StreamEncoder
from ..core import sse
from ..core.answer import Part, size_of
from ..core.answer_options import AnswerOptions
from ..core.errors import ProxyError, UpstreamAnswerTooLong, UpstreamError
from ..core.events import Event
from ..translation.structured.structured_answer import PartSource, StructuredAnswer
from ..translation.translator import Translator

OnBytes = Callable[[bytes], None]
"""Called with the bytes for the client; a recorder uses it."""


class PartObserver(Protocol):
    """Receives every part of an answer, as the encoder does."""

    def add(self, part: Part) -> None: ...


NO_TOOLS: frozenset[str] = frozenset()
"""Shared: each further one takes 216 bytes."""


def new_translator(options: AnswerOptions, **settings: Any) -> Translator:
    """`settings`: the other parameters of `Translator`."""
    return Translator(
        model=options.model,
        tool_names=frozenset(options.tool_names) if options.tool_names else NO_TOOLS,
        tick_separator=options.tick_separator,
        server_tools=options.server_tools,
        confirmations=options.confirmations,
        max_tool_output=options.tool_output_max,
        **settings,
    )


class StreamedAnswer:
    """One answer that is sent while the agent works. Each method returns the bytes to send now, or none."""

    __slots__ = (
        "_observer",
        "_on_bytes",
        "_on_ping",
        "_pings_are_comments",
        "_translator",
        "encoder",
        "ended",
        "failure",
        "structured",
    )

    def __init__(
        self,
        translator: PartSource,
        encoder: StreamEncoder,
        observer: PartObserver | None = None,
        on_bytes: OnBytes | None = None,
        *,
        on_ping: OnBytes | None = None,
        pings_are_comments: bool = False,
    ) -> None:
        """`on_ping`: called with each keep-alive, and with nothing before bytes that no event of the agent's makes.
        `pings_are_comments`: a keep-alive is a comment of the event stream, not an event of the API."""
        self.encoder = encoder
        self._translator = translator
        self.structured = translator if isinstance(translator, StructuredAnswer) else None
        """Its check comes between the last `feed` and `complete`."""
        self._pings_are_comments = pings_are_comments
        self._observer = observer
        self._on_bytes = on_bytes
        self._on_ping = on_ping
        # state
        self.ended = False
        """Every part of the answer is encoded; only `end` is to come."""
        self.failure: ProxyError | None = None
        """Why the run failed; the parts before the failure are encoded all the same."""

    def open(self) -> bytes:
        """The first part, for a client that has waited long enough; nothing if it is out."""
        if self._on_ping is not None:
            self._on_ping(b"")
        return self._encode(self._translator.open())

    def feed(self, events: Iterable[Event]) -> bytes:
        """The bytes for one read of the agent's stream. An error is not raised, but stored in `failure`."""
        parts: list[Part] = []
        translate = self._translator.feed
        try:
            for event in events:
                parts += translate(event)
        except ProxyError as error:
            if not self._translator.ended:  # an event after the answer's end is no part of it
                self.failure = error
        self.ended = self._translator.ended
        return self._encode(parts)

    def finish(self) -> None:
        """The agent's stream is over. Raises UpstreamInterrupted if the answer is not complete."""
        self._translator.finish()

    def complete(self) -> bytes:
        """The parts that waited for a check, which the answer has passed."""
        return self._encode(self.structured.take_waiting()) if self.structured is not None else b""

    def ping(self) -> bytes:
        """A keep-alive; it is no part of the answer, so a recording does not show it.

        None of the API's own when every part is encoded: the last ones are sent when the answer is stored, and the
        client would learn their number before it has them.
        """
        if self.ended and not self._pings_are_comments:
            return b""
        data = sse.KEEP_ALIVE if self._pings_are_comments else self.encoder.ping()
        if self._on_ping is not None:
            self._on_ping(data)
        return data

    def end(self) -> bytes:
        """The bytes after the last part."""
        return self._observed(self.encoder.end())

    def fail(self, error: ProxyError) -> bytes:
        """The end of an answer that failed."""
        return self._observed(self.encoder.fail(error))

    def _encode(self, parts: Sequence[Part]) -> bytes:
        if self._observer is not None:
            for part in parts:
                self._observer.add(part)
        data = b"".join(map(self.encoder.encode, parts))
        if data and self._on_bytes is not None:
            self._on_bytes(data)
        return data

    def _observed(self, data: bytes) -> bytes:
        if self._on_ping is not None:
            self._on_ping(b"")
        if data and self._on_bytes is not None:
            self._on_bytes(data)
        return data


class WholeAnswer:
    """One answer that is sent when it is complete."""

    def __init__(
        self,
        translator: PartSource,
        builder: BodyBuilder,
        observer: PartObserver | None = None,
        *,
        max_size: int,
    ) -> None:
        """`max_size`: characters of the answer, which is held in memory."""
        self._translator = translator
        self.structured = translator if isinstance(translator, StructuredAnswer) else None
        """Its check comes between the last `feed` and `complete`."""
        self.builder = builder
        self._observer = observer
        # state
        self._left = max_size

    @property
    def ended(self) -> bool:
        """The translator has ended the answer."""
        return self._translator.ended

    def feed(self, events: Iterable[Event]) -> None:
        """Adds the events of one read of the agent's stream. Raises ProxyError."""
        for part in self._translate(events):
            self._left -= size_of(part)
            if self._left < 0:
                raise UpstreamAnswerTooLong(
                    "The agent's answer is longer than this server holds in one piece; ask for a stream."
                )
            self.builder.add(part)
            if self._observer is not None:
                self._observer.add(part)

    def finish(self) -> None:
        """The agent's stream is over. Raises UpstreamInterrupted if the answer is not complete."""
        self._translator.finish()

    def complete(self) -> None:
        """Adds the parts that waited for a check, which the answer has passed."""
        if self.structured is not None:
            for part in self.structured.take_waiting():
                self.builder.add(part)
                if self._observer is not None:
                    self._observer.add(part)

    def body(self) -> bytes:
        """The answer as JSON."""
        return self.builder.body()

    def _translate(self, events: Iterable[Event]) -> Iterator[Part]:
        """Raises UpstreamError, but not for events after the answer's end."""
        try:
            for event in events:
                yield from self._translator.feed(event)
        except UpstreamError:
            if not self._translator.ended:
                raise
