"""Turns the events of one run into the bytes of one answer: a translator, and an encoder of the client's API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from ..api.protocol import BodyBuilder, StreamEncoder
from ..core import sse
from ..core.answer import Part, size_of
from ..core.errors import ProxyError, UpstreamAnswerTooLong, UpstreamError
from ..core.events import Event
from ..translation.structured.structured_answer import PartSource, StructuredAnswer

OnBytes = Callable[[bytes], None]
"""Called with the bytes for the client; a recorder uses it."""


class PartObserver(Protocol):
    """Receives every part of an answer, as the encoder does."""

    def add(self, part: Part) -> None: ...


class StreamedAnswer:
    """One answer that is sent while the agent works. Each method returns the bytes to send now, or none.

    `feed` and `complete` return pieces, which are joined once: a copy of a burst takes 150 instructions a delta.
    """

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
        """`on_ping`: called with each keep-alive, and with no bytes before bytes that no agent's event has caused.
        `pings_are_comments`: a keep-alive is a comment of the event stream, not an event of the API."""
        self.encoder = encoder
        self._translator = translator
        self.structured = translator if isinstance(translator, StructuredAnswer) else None
        """The translator, if the answer's text is checked: the check runs between the last `feed` and `complete`."""
        self._pings_are_comments = pings_are_comments
        self._observer = observer
        self._on_bytes = on_bytes
        self._on_ping = on_ping
        # state
        self.ended = False
        """Every part of the answer is encoded; only `end` follows."""
        self.failure: ProxyError | None = None
        """Why the run failed. The parts before the failure are encoded."""

    def open(self) -> bytes:
        """The first part, sent early if the agent is slow; empty if it was sent already."""
        if self._on_ping is not None:
            self._on_ping(b"")
        return b"".join(self._encode(self._translator.open()))

    def feed(self, events: Iterable[Event]) -> list[bytes]:
        """The pieces for one read of the agent's stream. An error is not raised, but stored in `failure`."""
        parts: list[Part] = []
        translate = self._translator.feed
        try:
            for event in events:
                parts += translate(event)
        except ProxyError as error:
            if not self._translator.ended:  # errors after the answer's end do not concern it
                self.failure = error
        self.ended = self._translator.ended
        return self._encode(parts)

    def finish(self) -> None:
        """Called at the end of the agent's stream. Raises UpstreamInterrupted if the answer is not complete."""
        self._translator.finish()

    def complete(self) -> list[bytes]:
        """The pieces of what was held back for the check. Called after the check has passed."""
        return self._encode(self.structured.take_waiting()) if self.structured is not None else []

    def ping(self) -> bytes:
        """A keep-alive. It is not part of the answer, so `on_bytes` does not get it.

        Empty once every part is encoded, unless it is a comment: the last parts may wait to be sent until the answer
        is stored, and a keep-alive event with a sequence number would come before them.
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
        """The bytes that end a failed answer."""
        return self._observed(self.encoder.fail(error))

    def _encode(self, parts: Sequence[Part]) -> list[bytes]:
        if self._observer is not None:
            for part in parts:
                self._observer.add(part)
        pieces = [*map(self.encoder.encode, parts)]
        if self._on_bytes is not None and (data := b"".join(pieces)):
            self._on_bytes(data)
        return pieces

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
        """The translator, if the answer's text is checked: the check runs between the last `feed` and `complete`."""
        self.builder = builder
        self._observer = observer
        # state
        self._left = max_size

    @property
    def ended(self) -> bool:
        """Whether the translator has ended the answer."""
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
        """Called at the end of the agent's stream. Raises UpstreamInterrupted if the answer is not complete."""
        self._translator.finish()

    def complete(self) -> None:
        """Adds the parts that were held back for the check. Called after the check has passed."""
        if self.structured is not None:
            for part in self.structured.take_waiting():
                self.builder.add(part)
                if self._observer is not None:
                    self._observer.add(part)

    def body(self) -> bytes:
        """The answer as a JSON body."""
        return self.builder.body()

    def _translate(self, events: Iterable[Event]) -> Iterator[Part]:
        """The parts of the events. Raises UpstreamError, but not for events after the answer's end."""
        try:
            for event in events:
                yield from self._translator.feed(event)
        except UpstreamError:
            if not self._translator.ended:
                raise
