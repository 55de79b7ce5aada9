"""Recorded runs, translated again: `unit/server/recording/test_recorder` compares the recordings of a real proxy."""

from __future__ import annotations

import pytest

from oaicompat_proxy.api.registry import APIS
from oaicompat_proxy.core.answer import Envelope
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.pipeline.comparison import compare, translate
from oaicompat_proxy.pipeline.pipeline import Pipeline
from oaicompat_proxy.recordings.format import Entry, Recording
from tests.golden.test_golden import GOLDEN, NAMES, answers, read_options
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.scripted_gateway import failure, run

NATIVE = b"".join(run("Hello"))


def recorded(native: bytes, *others: Entry, stream: bool = True, options: AnswerOptions | None = None) -> Recording:
    options = options or AnswerOptions(stream=stream)
    return Recording(options=options, entries=[Entry(0, "native", native), *others])


def test_without_a_recorded_answer_it_prints_one() -> None:
    outcome = translate(recorded(NATIVE))
    assert check_stream(outcome.data, include_usage=False).text == "Hello"


def test_an_answer_in_one_piece() -> None:
    outcome = translate(recorded(NATIVE, stream=False))
    assert not outcome.streamed
    assert check_body(outcome.data).text == "Hello"


@pytest.mark.parametrize("stream", [True, False])
def test_a_run_that_fails_at_once_is_a_body_with_a_status(stream: bool) -> None:
    outcome = translate(recorded(failure("rate limit"), stream=stream))
    assert (outcome.streamed, outcome.status) == (False, 429)
    check_error_body(outcome.data)


@pytest.mark.parametrize("name", NAMES)
def test_it_becomes_what_the_golden_transcripts_say(name: str) -> None:
    """Byte for byte, with the envelope of the recorded answer."""
    golden = read_options(name)
    (_, stream), (_, body), *_ = answers(name)
    native = (GOLDEN / f"{name}.native.sse").read_bytes()
    then = Entry(1, "client", stream) if stream else Entry(1, "body", body or b"", 502)
    recording = recorded(native, then, Entry(2, "end", b"answered"), options=golden.answer_options)
    assert compare(recording) == []
    if stream:
        assert translate(recording).data == stream


def test_a_difference_is_shown_with_both_sides() -> None:
    then = translate(recorded(NATIVE)).data
    changed = recorded(NATIVE, Entry(1, "client", then.replace(b"Hello", b"Hullo")), Entry(2, "end", b"answered"))
    difference = compare(changed)
    assert [line[0] for line in difference if "Hello" in line or "Hullo" in line] == ["-", "+"]


def test_comments_and_signed_ids_are_no_difference() -> None:
    then = translate(recorded(NATIVE)).data
    warmed = then.replace(b"data: [DONE]", b": ping\n\ndata: [DONE]")
    assert compare(recorded(NATIVE, Entry(1, "client", warmed), Entry(2, "end", b"answered"))) == []


@pytest.mark.parametrize("stream", [True, False])
def test_the_time_at_which_a_response_was_completed_is_no_difference(stream: bool) -> None:
    options = AnswerOptions(api="responses", stream=stream)
    today = translate(recorded(NATIVE, options=options)).data
    then = today.replace(b'"status":"completed","completed_at":null', b'"status":"completed","completed_at":1790000007')
    assert then != today
    answer = Entry(1, "client" if stream else "body", then, 200)
    assert compare(recorded(NATIVE, answer, Entry(2, "end", b"answered"), options=options)) == []


def test_of_a_broken_answer_what_there_is_is_compared() -> None:
    then = translate(recorded(NATIVE)).data.split(b"\n\n")[0] + b"\n\n"
    assert compare(recorded(NATIVE, Entry(1, "client", then), Entry(2, "end", b"the client left"))) == []
    assert compare(recorded(NATIVE, Entry(1, "client", then), Entry(2, "end", b"answered"))) != []


def test_what_became_of_a_stream_without_an_end_is_not_held_against_it() -> None:
    then = translate(recorded(NATIVE[:-200])).data.replace(b"ended before", b"was silent before")
    assert compare(recorded(NATIVE[:-200], Entry(1, "client", then), Entry(2, "end", b"answered"))) == []


def test_without_a_recorded_answer_there_is_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        compare(recorded(NATIVE))


@pytest.mark.parametrize("native", [NATIVE, b"".join(run("Hello")[:4])], ids=["whole", "cut"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
def test_the_envelope_of_each_api_is_found(name: str, stream: bool, native: bytes) -> None:
    api = APIS[name]
    options = AnswerOptions(api=name, stream=stream)
    pipeline = Pipeline(api, options, Envelope(f"{api.id_prefix}1", 0 if name == "messages" else 1790000000, "owl"))
    pipeline.feed(native)
    then = pipeline.finish()
    answer = Entry(1, "client", then.data) if then.streamed else Entry(1, "body", then.data, then.status)
    recording = recorded(native, answer, Entry(2, "end", b"answered"), options=options)
    assert compare(recording) == []
    assert translate(recording).data == then.data
