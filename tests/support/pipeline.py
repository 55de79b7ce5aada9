"""Translates an agent's stream into a client's bytes with the server's own pipeline, without a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from oaicompat_proxy.api.anthropic.api import MESSAGES
from oaicompat_proxy.api.openai.chat.api import CHAT
from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.api.protocol import ClientApi
from oaicompat_proxy.core.answer import Envelope, Part
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.core.errors import ProxyError
from oaicompat_proxy.core.events import Event
from oaicompat_proxy.dialects.ag_ui.dialect import AgUi
from oaicompat_proxy.dialects.agentick.dialect import Agentick
from oaicompat_proxy.dialects.protocol import Dialect, Reader
from oaicompat_proxy.pipeline import pipeline
from oaicompat_proxy.pipeline.answers import PartObserver, StreamedAnswer, WholeAnswer
from oaicompat_proxy.translation.translator import Translator

ENVELOPE = Envelope("chatcmpl-golden", 1790000000, "owl")
ENVELOPES = {
    CHAT.name: ENVELOPE,
    RESPONSES.name: ENVELOPE._replace(id="resp_golden"),
    MESSAGES.name: ENVELOPE._replace(id="msg_golden"),
}
MAX_FRAME = 16 * 1024 * 1024
DIALECTS: dict[str, Callable[[], Dialect]] = {"agentick": Agentick, "ag-ui": AgUi}


class Options(NamedTuple):
    """The options of a chat answer, from the client and from the settings."""

    tool_names: frozenset[str] = frozenset()
    include_usage: bool = False
    legacy_functions: bool = False
    reasoning_field: str = "reasoning_content"
    tick_separator: str = "\n\n"
    server_tools: str = "hide"
    confirmations: str = "deny"
    dialect: str = "agentick"

    @property
    def form(self) -> dict[str, Any]:
        return {
            "include_usage": self.include_usage,
            "legacy_functions": self.legacy_functions,
            "reasoning_field": self.reasoning_field,
            "thinking": self.reasoning_field != "none",
        }

    @property
    def answer_options(self) -> AnswerOptions:
        return AnswerOptions(
            form=self.form,
            model=ENVELOPE.model,
            tool_names=tuple(sorted(self.tool_names)),
            tick_separator=self.tick_separator,
            server_tools=self.server_tools,
            confirmations=self.confirmations,
            dialect=self.dialect,
        )


@dataclass
class Outcome:
    """The result of a run: the parts of its answer, and the error that replaces or ends it."""

    chunks: list[Part]
    failure: ProxyError | None
    events: list[Event] = field(compare=False)
    """The events of the run, up to a failure."""


class PartList(list[Part]):
    """The parts of an answer, in order."""

    def add(self, part: Part) -> None:
        self.append(part)


def new_reader(stream: bytes, *, include_tool_activity: bool, dialect: str) -> Reader:
    """A new reader for an agent's stream, whose last run is the wanted one."""
    spoken = DIALECTS[dialect]()
    return spoken.new_reader(
        max_frame=MAX_FRAME, include_tool_activity=include_tool_activity, run_id=spoken.find_run_id(stream)
    )


def read_events(
    reads: Iterable[bytes], *, include_tool_activity: bool = False, dialect: str = "agentick", ends: bool = True
) -> Iterable[Event]:
    """The events of an agent's stream, fed read by read. Lazy.

    `ends`: the stream is complete. Raises UpstreamError.
    """
    reads = list(reads)
    reader = new_reader(b"".join(reads), include_tool_activity=include_tool_activity, dialect=dialect)
    for data in reads:
        yield from reader.feed(data)
    if ends:
        yield from reader.flush(at_end=True)


def new_answer(options: Options, api: ClientApi = CHAT, observer: PartObserver | None = None) -> StreamedAnswer:
    encoder = api.new_encoder(ENVELOPES[api.name], options.form)
    return StreamedAnswer(Translator(options.answer_options), encoder, observer)


def translate(events: Iterable[Event], options: Options) -> Outcome:
    """Feeds the events to a streamed answer. A ProxyError becomes `failure`."""
    chunks, read = PartList(), list[Event]()
    answer = new_answer(options, observer=chunks)
    answer.feed(_noted(events, read))
    failure = answer.failure
    if failure is None and not answer.ended:
        try:
            answer.finish()
        except ProxyError as error:
            failure = error
    return Outcome(chunks, failure, read)


def _noted(events: Iterable[Event], read: list[Event]) -> Iterator[Event]:
    for event in events:
        read.append(event)
        yield event


def run_pipeline(
    reads: Iterable[bytes], options: Options, api: ClientApi = CHAT, *, stream: bool
) -> pipeline.ClientAnswer:
    """The client's bytes for an agent's stream, fed read by read."""
    reads = list(reads)
    entire = pipeline.Pipeline(
        api,
        replace(options.answer_options, stream=stream),
        ENVELOPES[api.name],
        run_id=DIALECTS[options.dialect]().find_run_id(b"".join(reads)),
        max_frame=MAX_FRAME,
    )
    for data in reads:
        entire.feed(data)
    return entire.finish()


def streamed(outcome: Outcome, options: Options, api: ClientApi = CHAT) -> bytes | None:
    """The body of the streamed answer; None if it failed before the first chunk, so no stream began."""
    if outcome.failure is not None and not outcome.chunks:
        return None
    answer = new_answer(options, api)
    data = b"".join(answer.feed(outcome.events))
    return data + (answer.end() if outcome.failure is None else answer.fail(outcome.failure))


def collected(outcome: Outcome, options: Options, api: ClientApi = CHAT) -> bytes:
    """The body for a client that does not stream: the whole answer, or the error."""
    if outcome.failure is not None:
        return api.encode_error(outcome.failure).body
    builder = api.new_builder(ENVELOPES[api.name], options.form)
    answer = WholeAnswer(Translator(options.answer_options), builder, max_size=pipeline.MAX_ANSWER)
    answer.feed(outcome.events)
    return answer.body()
