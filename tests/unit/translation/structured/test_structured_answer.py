"""The parts of an answer that is to be JSON: without a fence, and its end only after a check."""

from __future__ import annotations

import pytest

from oaicompat_proxy.core.answer import (
    Annotations,
    AnswerFinished,
    AnswerStarted,
    FinishReason,
    Part,
    ReasoningPart,
    TextBatch,
    TextPart,
    ToolCallOpened,
    UrlCitation,
    UsageTotals,
)
from oaicompat_proxy.core.errors import AgentOutputInvalid
from oaicompat_proxy.core.events import Event, RunStarted
from oaicompat_proxy.translation.structured.json_schema import AnswerSchema, AnyObject
from oaicompat_proxy.translation.structured.structured_answer import StructuredAnswer

END = [AnswerFinished(FinishReason.STOP), UsageTotals(1, 2, 3)]


class Parts:
    """A translator that returns the parts that it was given."""

    def __init__(self, *parts: list[Part]) -> None:
        self._parts = list(parts)
        self.ended = False

    def open(self) -> list[Part]:
        return [AnswerStarted()]

    def feed(self, event: Event) -> list[Part]:
        parts = self._parts.pop(0)
        self.ended = not self._parts
        return parts

    def finish(self) -> None:
        pass


def fed(answer: StructuredAnswer) -> list[Part]:
    parts: list[Part] = []
    while not answer.ended:
        parts += answer.feed(RunStarted())
    return parts


def test_the_end_waits_for_the_check() -> None:
    words: list[Part] = [AnswerStarted(), TextPart('{"a"'), TextBatch(": 1}", [b": 1}"])]
    answer = StructuredAnswer(Parts(words, list(END)), strip_fences=False, check=AnyObject())
    assert fed(answer) == words
    assert answer.waits
    assert answer.check_briefly()
    answer.check()
    assert answer.take_waiting() == END
    assert not answer.waits


def test_a_misfit_is_an_error() -> None:
    answer = StructuredAnswer(Parts([TextPart("3")], list(END)), strip_fences=False, check=AnyObject())
    fed(answer)
    for check in (answer.check_briefly, answer.check):
        with pytest.raises(AgentOutputInvalid):
            check()


@pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.TOOL_CALLS, FinishReason.CONTENT_FILTER])
def test_other_ends_are_not_checked(reason: FinishReason) -> None:
    parts: list[Part] = [TextPart("{"), AnswerFinished(reason)]
    answer = StructuredAnswer(Parts(parts), strip_fences=False, check=AnyObject())
    assert fed(answer) == parts
    assert not answer.waits


def test_no_more_is_kept_than_can_be_checked() -> None:
    pieces = [[TextPart("a" * 1000)] for _ in range(2000)]
    answer = StructuredAnswer(Parts(*pieces, list(END)), strip_fences=False, check=AnswerSchema(True))
    assert len(fed(answer)) == 2000
    with pytest.raises(AgentOutputInvalid, match="is longer than"):
        answer.check()


def test_a_fence_goes_in_front_of_what_follows_the_text() -> None:
    call = ToolCallOpened(0, "call_1", "weather")
    parts: list[list[Part]] = [
        [AnswerStarted()],
        [TextPart("```json\n{")],
        [ReasoningPart("Hm.")],
        [TextPart("}\n```")],
    ]
    answer = StructuredAnswer(Parts(*parts, [call]), strip_fences=True, check=None)
    assert fed(answer) == [AnswerStarted(), TextPart("{"), ReasoningPart("Hm."), TextPart("}"), call]


def test_citations_move_with_the_text() -> None:
    cited = Annotations((UrlCitation("https://a", "A", 8, 10), UrlCitation("https://b", "B", 0, 14)))
    answer = StructuredAnswer(
        Parts([TextPart("```json\n{}\n```")], [cited, *END]), strip_fences=True, check=AnyObject()
    )
    first, second = UrlCitation("https://a", "A", 0, 2), UrlCitation("https://b", "B", 0, 2)
    assert fed(answer) == [TextPart("{}"), Annotations((first, second))]
    assert answer.check_briefly()


def test_citations_wait_for_the_end_of_a_fence() -> None:
    """They do not end the text in which a fence may still close."""
    first, second = UrlCitation("https://a", "A", 8, 10), UrlCitation("https://b", "B", 0, 14)
    parts = [TextPart("```json\n{}")], [Annotations((first,))], [TextPart("\n```")], [Annotations((second,)), *END]
    answer = StructuredAnswer(Parts(*parts), strip_fences=True, check=None)
    moved = Annotations((first._replace(start=0, end=2), second._replace(start=0, end=2)))
    assert fed(answer) == [TextPart("{}"), moved, *END]


def test_a_text_without_a_fence_keeps_its_parts() -> None:
    batch = TextBatch('{"a": 1}', [b'{\\"a\\": 1}'])
    answer = StructuredAnswer(Parts([batch], list(END)), strip_fences=True, check=None)
    assert fed(answer)[0] is batch
