"""The way of one answer through the pure rooms, as the chat endpoint goes it, without a socket: bytes in, out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from oaicompat_proxy.api.openai.chat.collector import Collector
from oaicompat_proxy.api.openai.chat.encoder import ChunkEncoder
from oaicompat_proxy.api.openai.errors import error_body, error_ending
from oaicompat_proxy.core import sse
from oaicompat_proxy.core.answer import Envelope, Part
from oaicompat_proxy.core.errors import ProxyError
from oaicompat_proxy.core.events import Event
from oaicompat_proxy.dialects.ag_ui.dialect import AgUi
from oaicompat_proxy.dialects.agentick.dialect import Agentick
from oaicompat_proxy.dialects.protocol import Dialect, Reader
from oaicompat_proxy.translation.translator import Translator

ENVELOPE = Envelope("chatcmpl-golden", 1790000000, "owl")
MAX_FRAME = 16 * 1024 * 1024
DIALECTS: dict[str, Callable[[], Dialect]] = {"agentick": Agentick, "ag-ui": AgUi}


class Manner(NamedTuple):
    """How the client asked, and how the proxy is set."""

    tool_names: frozenset[str] = frozenset()
    include_usage: bool = False
    legacy_functions: bool = False
    reasoning_field: str = "reasoning_content"
    tick_separator: str = "\n\n"
    server_tools: str = "hide"
    confirmations: str = "deny"
    dialect: str = "agentick"


class Outcome(NamedTuple):
    """What a run became: the chunks, and what the client is told instead of, or after, the last of them."""

    chunks: list[Part]
    failure: ProxyError | None


def new_reader(stream: bytes, *, with_deeds: bool, dialect: str) -> Reader:
    """For a native stream whose last run is the one that was asked for. It has learned nothing from others."""
    spoken = DIALECTS[dialect]()
    return spoken.new_reader(max_frame=MAX_FRAME, with_deeds=with_deeds, run_id=spoken.find_run_id(stream))


def read_events(
    reads: Iterable[bytes], *, with_deeds: bool = False, dialect: str = "agentick", ends: bool = True
) -> Iterable[Event]:
    """The events of a native stream that comes in these reads. Lazy.

    `ends`: it is not cut. Raises UpstreamError.
    """
    reads = list(reads)
    reader = new_reader(b"".join(reads), with_deeds=with_deeds, dialect=dialect)
    for data in reads:
        yield from reader.feed(data)
    if ends:
        yield from reader.settle(at_end=True)


def translate(events: Iterable[Event], manner: Manner) -> Outcome:
    """Feeds the events until the answer has its ending. Raises nothing but what is a fault of the code."""
    translator = Translator(
        model=ENVELOPE.model,
        tool_names=manner.tool_names,
        tick_separator=manner.tick_separator,
        server_tools=manner.server_tools,
        confirmations=manner.confirmations,
    )
    chunks: list[Part] = []
    try:
        for event in events:
            chunks += translator.feed(event)
            if translator.ended:
                break
        translator.finish()
    except ProxyError as failure:
        return Outcome(chunks, failure)
    return Outcome(chunks, None)


def streamed(outcome: Outcome, manner: Manner) -> bytes | None:
    """The body of the streamed answer, or None if it failed before the first chunk: then there is no stream."""
    encoder = ChunkEncoder(
        ENVELOPE,
        include_usage=manner.include_usage,
        reasoning_field=manner.reasoning_field,
        legacy_functions=manner.legacy_functions,
    )
    if outcome.failure is not None and not outcome.chunks:
        return None
    ending = sse.DONE if outcome.failure is None else error_ending(outcome.failure)
    return b"".join(map(encoder.encode, outcome.chunks)) + ending


def collected(outcome: Outcome, manner: Manner) -> bytes:
    """The body for a client that does not stream: the whole answer or the error, never half an answer."""
    if outcome.failure is not None:
        return error_body(outcome.failure)
    collector = Collector(ENVELOPE, reasoning_field=manner.reasoning_field, legacy_functions=manner.legacy_functions)
    for chunk in outcome.chunks:
        collector.add(chunk)
    return collector.body()
