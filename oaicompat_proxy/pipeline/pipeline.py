"""Translates an agent's bytes into a client's bytes, as the server does for one request, without socket and clock.

Replay, the tests and the fuzzer use it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..api.protocol import ClientApi
from ..core.answer import Envelope
from ..core.answer_options import AnswerOptions
from ..core.errors import ProxyError
from ..core.events import Event, TickStarted
from ..dialects.protocol import Reader
from ..dialects.registry import DIALECTS
from ..translation.structured.structured_answer import PartSource, StructuredAnswer
from ..translation.translator import Translator
from .answers import StreamedAnswer, WholeAnswer

MAX_FRAME = 64 * 1024 * 1024
"""Bytes of one event: at least the limit of every proxy that has made a recording."""

MAX_ANSWER = 1 << 40
"""Characters of a whole answer. The input bounds it, so this is no limit in practice."""


class ClientAnswer(NamedTuple):
    """The client's answer. `data`: the bytes of the stream, or the JSON body."""

    status: int
    data: bytes
    streamed: bool
    """False also for an error instead of a stream."""
    is_cut: bool
    """The agent's stream ended before its run did."""


class Pipeline:
    """One run for one client: `feed` every read, then `finish`.

    Each method returns the bytes of a streamed answer that are sent now; for a whole answer, none before `finish`.
    """

    def __init__(
        self,
        api: ClientApi,
        options: AnswerOptions,
        envelope: Envelope,
        *,
        run_id: str = "",
        max_frame: int = MAX_FRAME,
    ) -> None:
        """`run_id`: the id in the call, if the dialect has run ids."""
        self._api = api
        self._options = options
        self._max_frame = max_frame
        translator: PartSource = Translator(options)
        if options.strip_fences:
            translator = StructuredAnswer(translator, strip_fences=True, check=None)
        self._answer: StreamedAnswer | WholeAnswer
        if options.stream:
            self._answer = StreamedAnswer(translator, self._api.new_encoder(envelope, options.form))
        else:
            builder = self._api.new_builder(envelope, options.form)
            self._answer = WholeAnswer(translator, builder, max_size=MAX_ANSWER)
        # state
        self._reader = self._new_reader(run_id)
        self._data: list[bytes] = []
        self._failure: ProxyError | None = None

    def open(self) -> bytes:
        """Sends the first part of a stream early, because the agent is slow."""
        if isinstance(self._answer, StreamedAnswer) and not self.is_over:
            return self._add(self._answer.open())
        return b""

    def feed(self, data: bytes) -> bytes:
        """One read of the agent's stream."""
        return self._read(data, at_end=False)

    def restart(self, run_id: str) -> bytes:
        """The agent's stream has ended, and the run continues in another stream, as another tick."""
        last = self.close()
        self._reader = self._new_reader(run_id)
        return last + self._take([TickStarted()])

    def close(self) -> bytes:
        """The agent's stream has ended: the reader releases events that it held back."""
        return self._read(b"", at_end=True)

    def finish(self) -> ClientAnswer:
        """The answer. Called after the end of the agent's stream."""
        self.close()
        if not self.is_over:
            try:
                self._answer.finish()
            except ProxyError as error:
                self._failure = error
        is_cut = self._failure is not None and not self._reader.finished
        if isinstance(self._answer, WholeAnswer):
            return self._as_error(is_cut) or ClientAnswer(200, self._answer.body(), False, False)
        if not any(self._data) and (refused := self._as_error(is_cut)):
            return refused
        ending = self._answer.end() if self._failure is None else self._answer.fail(self._failure)
        return ClientAnswer(200, b"".join([*self._data, ending]), True, is_cut)

    @property
    def is_over(self) -> bool:
        """The answer is complete or has failed; further frames do not change it."""
        return self._answer.ended or self._failure is not None

    def _read(self, data: bytes, *, at_end: bool) -> bytes:
        if self.is_over:
            return b""
        try:
            return self._take(self._reader.flush(at_end=True) if at_end else self._reader.feed(data))
        except ProxyError as error:
            self._failure = error
            return b""

    def _take(self, events: Iterable[Event]) -> bytes:
        """Translates events. Raises ProxyError if a whole answer fails."""
        if self.is_over:
            return b""
        if isinstance(self._answer, WholeAnswer):
            self._answer.feed(events)
            return b""
        data = self._add(b"".join(self._answer.feed(events)))
        self._failure = self._answer.failure
        return data

    def _add(self, data: bytes) -> bytes:
        self._data.append(data)
        return data

    def _new_reader(self, run_id: str) -> Reader:
        options = self._options
        return DIALECTS[options.dialect].new_reader(
            max_frame=self._max_frame,
            include_tool_activity=options.server_tools != "hide",
            resumed=options.resumed,
            run_id=run_id,
        )

    def _as_error(self, is_cut: bool) -> ClientAnswer | None:
        if self._failure is None:
            return None
        error = self._api.encode_error(self._failure)
        return ClientAnswer(error.status, error.body, False, is_cut)
