"""Events in, one client's bytes out; the parts and bytes that observers get."""

from __future__ import annotations

import pytest

from oaicompat_proxy.core import sse
from oaicompat_proxy.core.answer import Part, TextPart
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.core.errors import ProxyError, UpstreamAnswerTooLong, UpstreamError, UpstreamInterrupted
from oaicompat_proxy.core.events import Event, RunEnded, RunFailed, TextDelta
from oaicompat_proxy.pipeline.answers import StreamedAnswer, WholeAnswer
from oaicompat_proxy.translation.translator import Translator
from tests.support.toy_api import ToyBody, ToyEncoder

SAID: list[Event] = [TextDelta("a"), TextDelta("b")]


class Seen:
    """Everything that is shown to an observer."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def add(self, part: Part) -> None:
        self.parts.append(part)

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


def test_an_observer_and_a_recorder_see_what_the_client_gets() -> None:
    seen, recorded = Seen(), list[bytes]()
    answer = StreamedAnswer(Translator(AnswerOptions()), ToyEncoder(), seen, recorded.append)
    sent = [answer.open(), *answer.feed(SAID), *answer.feed([RunEnded()]), answer.end()]
    assert b"".join(sent) == b"data: +a\n\ndata: +b\n\ndata: .stop\n\ndata: bye\n\n"
    assert b"".join(recorded) == b"".join(sent)
    assert seen.text == "ab"
    assert answer.ping() not in recorded


def test_keep_alives_are_events_of_the_api_or_comments() -> None:
    pings = [
        StreamedAnswer(Translator(AnswerOptions()), ToyEncoder(), pings_are_comments=comments).ping()
        for comments in (False, True)
    ]
    assert pings == [b"data: ~\n\n", sse.KEEP_ALIVE]


def test_no_keep_alive_overtakes_the_last_events() -> None:
    """They are held until the answer is stored; a keep-alive would have the number of the last one already."""
    answer = StreamedAnswer(Translator(AnswerOptions()), ToyEncoder())
    answer.feed(SAID)
    assert answer.ping() == b"data: ~\n\n"
    assert answer.feed([RunEnded()])
    assert answer.ping() == b""


@pytest.mark.parametrize("last", [RunFailed("no"), UpstreamError("no")])
def test_a_failure_comes_behind_what_was_said_before_it(last: Event | Exception) -> None:
    def events() -> object:
        yield from SAID
        if isinstance(last, Exception):
            raise last
        yield last

    answer = StreamedAnswer(Translator(AnswerOptions()), ToyEncoder())
    assert b"".join(answer.feed(events())) == b"data: +a\n\ndata: +b\n\n"  # type: ignore[arg-type]
    assert isinstance(answer.failure, ProxyError)
    assert not answer.ended


def test_a_fault_behind_the_end_is_no_failure() -> None:
    def events() -> object:
        yield from [*SAID, RunEnded()]
        raise UpstreamError("no")

    answer = StreamedAnswer(Translator(AnswerOptions()), ToyEncoder())
    answer.feed(events())  # type: ignore[arg-type]
    assert (answer.ended, answer.failure) == (True, None)
    whole = WholeAnswer(Translator(AnswerOptions()), ToyBody(), max_size=9)
    whole.feed(events())  # type: ignore[arg-type]
    assert (whole.ended, whole.body()) == (True, b"ab")


def test_a_whole_answer_has_a_largest_size() -> None:
    answer = WholeAnswer(Translator(AnswerOptions()), ToyBody(), max_size=2)
    answer.feed(SAID)
    with pytest.raises(UpstreamAnswerTooLong):
        answer.feed([TextDelta("c")])


def test_a_run_without_an_end_is_no_answer() -> None:
    seen = Seen()
    answer = WholeAnswer(Translator(AnswerOptions()), ToyBody(), seen, max_size=9)
    answer.feed(SAID)
    assert seen.text == "ab"
    with pytest.raises(UpstreamInterrupted):
        answer.finish()
