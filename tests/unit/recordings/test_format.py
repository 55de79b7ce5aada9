from __future__ import annotations

import json

import pytest

from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.recordings.format import Entry, RecordingError, encode_entry, encode_head, read

OPTIONS = AnswerOptions(model="owl", tool_names=("add",), form={"echo": "Bob"}, server_tools="content")
ENTRIES = [
    Entry(1.5, "native", b'data: {"a":"\xc3\xa9"}\n\n'),
    Entry(2.0, "native", b"cut in a sign: \xc3"),
    Entry(2.5, "client", "data: é\u2028\n\n".encode()),
    Entry(3.0, "body", b'{"error":{}}', 502),
    Entry(4.0, "end", b"failed"),
]


def written(options: AnswerOptions = OPTIONS, *, masked: bool = False) -> bytes:
    head = encode_head(options, masked=masked, request_id="req_1", version="9", private_form=frozenset({"echo"}))
    return b"".join((head, *map(encode_entry, ENTRIES)))


def test_what_is_written_is_what_is_read() -> None:
    recording = read(written())
    assert (recording.options, recording.entries) == (OPTIONS, ENTRIES)
    assert (recording.masked, recording.request_id, recording.version) == (False, "req_1", "9")
    assert recording.bytes_of("native") == ENTRIES[0].data + ENTRIES[1].data


def test_a_file_is_lines_of_json_for_people() -> None:
    lines = written().splitlines()
    assert len(lines) == 1 + len(ENTRIES)
    assert json.loads(lines[1]) == {"ms": 1.5, "native": 'data: {"a":"é"}\n\n'}
    assert "é" in lines[1].decode()
    assert json.loads(lines[4]) == {"ms": 3.0, "status": 502, "body": '{"error":{}}'}


def test_the_prompt_is_masked_with_the_rest() -> None:
    assert read(written(masked=True)).options.form["echo"] == "xxx"


def test_a_last_line_that_is_half_is_left_out() -> None:
    assert read(written()[:-5]).entries == ENTRIES[:-1]


@pytest.mark.parametrize("data", [b"data: {}\n\n", b": hello\n\ndata: x\n\n", b""])
def test_a_plain_event_stream_is_a_recording_of_the_gateway(data: bytes) -> None:
    recording = read(data, OPTIONS)
    assert recording.options == OPTIONS
    assert recording.entries == [Entry(0.0, "native", data)]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\x89PNG", "neither"),
        (b'{"recording": 2}\n', "format 2"),
        (b'{"recording": 1\n', "no JSON"),
        (b'{"recording": 1}\n[]\n', "no JSON"),
        (b'{"recording": 1}\n{"ms": 1}\n', "none of"),
    ],
)
def test_anything_else_is_refused_in_one_line(data: bytes, word: str) -> None:
    with pytest.raises(RecordingError, match=word) as raised:
        read(data)
    assert "\n" not in str(raised.value)


def test_a_later_releases_words_are_passed_over() -> None:
    options = read(b'{"recording": 1, "manner": {"model": "m", "mood": "good"}}\n').options
    assert options == AnswerOptions(model="m", form={"mood": "good"})
