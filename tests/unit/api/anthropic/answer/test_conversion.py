"""A stream as a whole message, and back."""

import pytest

from oaicompat_proxy.api.anthropic.answer.conversion import convert
from oaicompat_proxy.core.answer import (
    AgentToolCalled,
    AgentToolReturned,
    Annotations,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
    UrlCitation,
    UsageTotals,
)
from tests.support.message_parts import CALLS, STOP, batch, body, stream
from tests.support.messages_conformance import check_message_body, check_message_stream

ANSWERS: list[list[Part]] = [
    [STOP],
    [TextPart("Hi"), batch(" the", "re\u2028"), STOP, UsageTotals(10, 2, 12, 1, 4)],
    [ReasoningPart("Hm"), TextPart("Low"), Annotations((UrlCitation("https://a.example/", "A", 0, 3),)), STOP],
    [AgentToolCalled("t", "tide", '{"a": 1}'), AgentToolReturned("t", "06:12"), TextPart("At six."), STOP],
    [ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, '{"a"'), ToolCallArguments(0, ":1}"), CALLS],
    [ToolCallOpened(0, "c1", "tide"), CALLS],
]


@pytest.mark.parametrize("parts", ANSWERS)
def test_both_forms_say_the_same(parts: list[Part]) -> None:
    whole = check_message_body(convert(stream(*parts), False))
    assert whole == check_message_body(body(*parts))
    assert check_message_stream(convert(body(*parts), True)) == whole
    assert check_message_body(convert(convert(body(*parts), True), False)) == whole
