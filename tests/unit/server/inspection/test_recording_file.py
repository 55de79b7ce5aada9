"""A run of the inspector as a recording."""

from __future__ import annotations

import pytest

from oaicompat_proxy.api.registry import APIS
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.pipeline.comparison import translate
from oaicompat_proxy.recordings.format import read
from oaicompat_proxy.server.inspection.recording_file import encode, to_recording
from tests.support.scripted_gateway import run

WHOLE = b"".join(run("SECRET", " words"))
ENTRIES = [
    *[(float(place), "native", WHOLE[place : place + 100]) for place in range(0, len(WHOLE), 100)],
    (9999.0, "ping", b""),
    (9999.5, "end", b"answered"),
]


@pytest.mark.parametrize("masked", [True, False])
def test_it_can_be_read_and_translated_again(masked: bool) -> None:
    recording = to_recording(AnswerOptions(), ENTRIES, "req_1")
    data = b"".join(encode(recording, APIS["chat"], masked=masked, secrets=[]))
    again = read(data)
    assert (again.masked, again.request_id) == (masked, "req_1")
    assert (b"SECRET" in data) is not masked
    assert translate(again).status == 200
    assert b"".join(again.runs()).count(b"\n") == WHOLE.count(b"\n")


def test_a_token_is_in_no_file() -> None:
    entries = [(1.0, "native", b"data: hunter2hunter2\n\n")]
    data = b"".join(
        encode(to_recording(AnswerOptions(), entries, ""), APIS["chat"], masked=False, secrets=["hunter2hunter2"])
    )
    assert b"hunter2" not in data
