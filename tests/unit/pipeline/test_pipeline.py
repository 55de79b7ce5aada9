"""An agent's bytes in, a client's bytes out, for each client API: the golden tests and the replay stand on it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from oaicompat_proxy.api.openai.chat.api import CHAT
from oaicompat_proxy.core.answer import Envelope
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.pipeline.pipeline import ClientAnswer, Pipeline
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.scripted_gateway import OPENING, failure, run, text

ENVELOPE = Envelope("chatcmpl-1", 1790000000, "owl")


def fed(reads: Sequence[bytes], *, stream: bool, open_at: int = -1) -> ClientAnswer:
    pipeline = Pipeline(CHAT, AnswerOptions(stream=stream), ENVELOPE)
    for number, data in enumerate(reads):
        if number == open_at:
            pipeline.open()
        pipeline.feed(data)
    return pipeline.finish()


def test_the_answer_does_not_depend_on_how_the_bytes_come() -> None:
    whole = b"".join(run("Hello ", "Bob"))
    outcomes = {fed([whole[:cut], whole[cut:]], stream=False) for cut in range(len(whole))}
    (outcome,) = outcomes
    assert (outcome.status, outcome.streamed) == (200, False)
    assert check_body(outcome.data).text == "Hello Bob"


def test_a_stream_can_be_opened_before_the_agent_speaks() -> None:
    outcome = fed(run("Hello"), stream=True, open_at=0)
    assert check_stream(outcome.data, include_usage=False).text == "Hello"


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_in_place_of_an_answer_has_a_status(stream: bool) -> None:
    outcome = fed([failure("rate limit")], stream=stream)
    assert (outcome.status, outcome.streamed, outcome.is_cut) == (429, False, False)
    check_error_body(outcome.data)


def test_a_failure_behind_the_first_words_ends_the_stream() -> None:
    outcome = fed([*OPENING, text("Hello"), failure("no")], stream=True)
    answer = check_stream(outcome.data, include_usage=False)
    assert (outcome.status, answer.text, answer.error is not None) == (200, "Hello", True)


@pytest.mark.parametrize("stream", [True, False])
def test_a_stream_without_an_end_is_cut_and_never_an_answer(stream: bool) -> None:
    outcome = fed([*OPENING, text("Hello")], stream=stream)
    assert outcome.is_cut
    assert b"upstream_interrupted" in outcome.data


def test_nothing_behind_the_end_is_read() -> None:
    assert fed([*run("Hello"), b"data: {broken\n\n"], stream=True) == fed(run("Hello"), stream=True)
