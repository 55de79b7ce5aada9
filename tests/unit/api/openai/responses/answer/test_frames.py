"""How an event looks on the wire."""

import json

import pytest

from oaicompat_proxy.api.openai.responses.answer.frames import DeltaFrames, Event, encode_event
from oaicompat_proxy.core.answer import (
    TextPart,
)
from tests.support.response_parts import STOP, batch, events, stream
from tests.support.responses_conformance import check_response_stream


def test_a_batch_is_one_delta_each() -> None:
    raw = stream(batch("Hel", "lo", "\n"), STOP)
    assert [event["delta"] for event in events(raw) if "delta" in event] == ["Hel", "lo", "\n"]


@pytest.mark.parametrize("count", [1, 2, 995, 996, 997, 2500])
def test_numbers_have_no_gap_where_digits_are_added(count: int) -> None:
    received = check_response_stream(stream(TextPart("x"), batch(*["a"] * count), batch("b", "c"), TextPart("d"), STOP))
    assert received.text == "x" + "a" * count + "bcd"


def test_a_delta_is_an_event_like_others() -> None:
    frames = DeltaFrames(b"response.x.delta", b'"item_id":"a"')
    for number in (0, 7, 999, 1000, 1001, 54321):
        event = json.loads(frames.encode(number, [b"hi"]).split(b"data: ")[1])
        fields = b'"item_id":"a","delta":"hi"'
        assert event == json.loads(encode_event(Event("response.x.delta", fields), number).split(b"data: ")[1])


def test_the_name_stands_twice() -> None:
    expected = b'event: error\ndata: {"type":"error","sequence_number":3,"a":1}\n\n'
    assert encode_event(Event("error", b'"a":1'), 3) == expected
