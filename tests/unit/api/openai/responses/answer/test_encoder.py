"""Keep-alives; and the checker of streams is a strict one."""

from collections.abc import Iterable

import pytest

from oaicompat_proxy.api.openai.responses.answer.encoder import ResponseEncoder
from oaicompat_proxy.api.openai.responses.answer.output import OutputOptions
from oaicompat_proxy.api.openai.responses.answer.response_object import encode_echo
from oaicompat_proxy.core.answer import (
    AgentToolCalled,
    AgentToolReturned,
    AnswerStarted,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
)
from oaicompat_proxy.core.errors import UpstreamAnswerTooLong
from tests.support.conformance import Violation, check_stream
from tests.support.response_parts import ENVELOPE, PLAIN, QUESTION, STOP, batch, new_encoder, stream
from tests.support.responses_conformance import check_response_stream

WAYS_TO_PING = [
    (),
    (TextPart("x"),),
    (ReasoningPart("x"),),
    (ToolCallOpened(0, "c", "tide"), ToolCallArguments(0, "{")),
    (TextPart("x"), AgentToolCalled("a", "add", "{}")),
    (TextPart("x"), AgentToolCalled("a", "add", "{}"), AgentToolReturned("a", "2")),
    (ToolCallOpened(0, "confirm_a", "confirm_tool_call"), ToolCallArguments(0, QUESTION)),
]


@pytest.mark.parametrize("parts", WAYS_TO_PING)
def test_a_keep_alive_changes_nothing_and_is_not_counted(parts: Iterable[Part]) -> None:
    options = OutputOptions("owl", question_tool="confirm_tool_call")
    silent, kept = new_encoder(options), new_encoder(options)
    without, with_pings = b"", b""
    for part in (AnswerStarted(), *parts, STOP):
        without += silent.encode(part)
        with_pings += kept.encode(part)
        if part is not STOP:
            with_pings += kept.ping()
    first, second = check_response_stream(without + silent.end()), check_response_stream(with_pings + kept.end())
    assert second.pings == 1 + len(list(parts))
    second.pings = 0
    assert first == second


def test_the_checker_sees_faults() -> None:
    raw = stream(TextPart("Hello"), STOP)
    check_response_stream(raw)
    blocks = raw.split(b"\n\n")
    for place in range(len(blocks) - 1):
        with pytest.raises(Violation):
            check_response_stream(b"\n\n".join(blocks[:place] + blocks[place + 1 :]))
    with pytest.raises(Violation):
        check_response_stream(raw.replace(b'"delta":"Hello"', b'"delta":"Hallo"'))
    with pytest.raises(Violation):
        check_stream(raw, include_usage=False)


def test_an_answer_that_is_too_long_to_be_repeated_fails() -> None:
    encoder = ResponseEncoder(ENVELOPE, echo=encode_echo({}), options=PLAIN, max_answer=10)
    sent = encoder.encode(AnswerStarted()) + encoder.encode(batch("12345", "6789"))
    with pytest.raises(UpstreamAnswerTooLong) as caught:
        encoder.encode(TextPart("ab"))
    received = check_response_stream(sent + encoder.fail(caught.value))
    assert received.status == "failed"
