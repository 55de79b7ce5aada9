"""Messages and reasoning as items."""

from oaicompat_proxy.api.openai.responses.answer.output import OutputOptions
from oaicompat_proxy.core.answer import (
    AgentToolCalled,
    AgentToolReturned,
    Annotations,
    ReasoningPart,
    TextPart,
    UrlCitation,
)
from tests.support.response_parts import STOP, answer, kinds, stream
from tests.support.responses_conformance import check_response_stream


def test_reasoning_as_itself() -> None:
    options = OutputOptions("owl", reasoning="text")
    raw = stream(ReasoningPart("Hm"), ReasoningPart("m."), STOP, options=options)
    assert kinds(raw)[2:7] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
    ]
    assert check_response_stream(raw).reasoning == "Hmm."


def test_citations_count_from_the_beginning_of_their_message() -> None:
    received = answer(
        TextPart("First."),
        AgentToolCalled("a", "add", "{}"),
        AgentToolReturned("a", "2"),
        TextPart("Second."),
        Annotations((UrlCitation("http://x", "X", 0, 5), UrlCitation("http://y", "Y", 6, 12))),
        STOP,
    )
    places = [(each["url"], each["start_index"], each["end_index"]) for each in received.annotations]
    assert places == [("http://x", 0, 0), ("http://y", 0, 6)]
