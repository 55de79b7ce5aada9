"""Real recordings where they are at hand, and the golden transcripts: cut at every byte, they never end too well.

The recordings are not part of the repository; `../shared/recordings` holds them where the project is developed.
"""

import json
from pathlib import Path

import pytest

from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.core.answer import AnswerFinished, Part, TextBatch, TextPart
from oaicompat_proxy.core.errors import ProxyError, UpstreamInterrupted
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.paths import GOLDEN, RECORDINGS
from tests.support.pipeline import (
    Options,
    PartList,
    collected,
    new_answer,
    new_reader,
    read_events,
    streamed,
    translate,
)
from tests.support.responses_conformance import check_response_body, check_response_stream

FILES = [
    *sorted(RECORDINGS.glob("*.sse")),
    *sorted(GOLDEN.glob("*.native.sse")),
]
PLAIN = Options()
AS_ITEMS = Options(server_tools="items")
MAX_CUTS = 20
"""Number of cuts of one recording with the Responses API."""


def whole_at(data: bytes) -> int:
    """The position after the run's first end. -1 if it never comes, or is a failure."""
    place = 0
    for frame in data.split(b"\n\n"):
        place += len(frame) + 2
        try:
            frame_data = json.loads(frame.removeprefix(b"data: ") or b"{}")
        except ValueError:
            return -1
        if frame_data.get("event") == "execution_end" and not frame_data["data"].get("spawnPath"):
            return -1 if frame_data["data"].get("error") or frame_data["data"].get("aborted") else place
    return -1


def text_of(chunks: list[Part]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextPart | TextBatch))


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_byte_before_the_last_makes_a_success(path: Path) -> None:
    """A connection that is lost at any byte of the run gives the client an error."""
    data = path.read_bytes()
    last = whole_at(data)
    whole = text_of(translate(read_events([data]), PLAIN).chunks)
    reader = new_reader(data, include_tool_activity=False, dialect="agentick")
    chunks = PartList()
    answer = new_answer(PLAIN, observer=chunks)
    text = ""
    for place in range(len(data)):
        chunks.clear()
        if place and not answer.ended:
            with pytest.raises(ProxyError):
                answer.finish()
        answer.feed(reader.feed(data[place : place + 1]))
        if answer.failure is not None:
            return
        text += text_of(chunks)
        assert whole.startswith(text)
        assert answer.ended == (last != -1 and place >= last - 1)
        assert any(isinstance(chunk, AnswerFinished) for chunk in chunks) == (place == last - 1)
    assert text == whole


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_cut_after_any_frame_is_an_error_for_both_kinds_of_client(path: Path) -> None:
    data = path.read_bytes()
    frames = data.split(b"\n\n")
    last = whole_at(data)
    for count in range(len(frames) - 1):
        cut = b"\n\n".join([*frames[:count], b""])
        outcome = translate(read_events([cut]), PLAIN)
        if outcome.failure is None:
            assert last != -1
            assert len(cut) >= last
            continue
        error = check_error_body(collected(outcome, PLAIN))
        stream = streamed(outcome, PLAIN)
        assert stream is None or check_stream(stream, include_usage=False).error == error


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_whole_is_one_answer_or_one_error(path: Path) -> None:
    options = Options(include_usage=True, server_tools="reasoning")
    outcome = translate(read_events([path.read_bytes()], include_tool_activity=True), options)
    stream, body = streamed(outcome, options), collected(outcome, options)
    if outcome.failure is not None:
        check_error_body(body)
        return
    assert stream is not None
    assert check_stream(stream, include_usage=True) == check_body(body)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_responses_api_says_what_chat_says(path: Path) -> None:
    chat = translate(read_events([path.read_bytes()]), PLAIN)
    outcome = translate(read_events([path.read_bytes()], include_tool_activity=True), AS_ITEMS)
    stream, body = streamed(outcome, AS_ITEMS, RESPONSES), collected(outcome, AS_ITEMS, RESPONSES)
    if outcome.failure is not None:
        assert chat.failure is not None
        assert stream is None or check_response_stream(stream).status == "failed"
        check_error_body(body)
        return
    assert stream is not None
    response, expected = check_response_stream(stream), check_body(collected(chat, PLAIN))
    assert response == check_response_body(body)
    assert (response.text, response.calls) == (expected.text, expected.tool_calls)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_responses_api_fails_for_a_cut_after_any_frame(path: Path) -> None:
    frames = path.read_bytes().split(b"\n\n")
    whole = translate(read_events([path.read_bytes()], include_tool_activity=True), AS_ITEMS)
    for count in range(0, len(frames) - 1, 1 + len(frames) // MAX_CUTS):
        outcome = translate(read_events([b"\n\n".join([*frames[:count], b""])], include_tool_activity=True), AS_ITEMS)
        stream = streamed(outcome, AS_ITEMS, RESPONSES)
        response = check_response_stream(stream) if stream is not None else None
        if outcome.failure is None:
            assert outcome.chunks == whole.chunks
            assert response is not None
            assert response.status != "failed"
        else:
            assert response is None or response.status == "failed"


def test_an_empty_stream_is_interrupted() -> None:
    with pytest.raises(UpstreamInterrupted):
        new_answer(PLAIN).finish()
