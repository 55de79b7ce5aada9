"""What can be seen of an event from its first bytes, and what cannot."""

from __future__ import annotations

import pytest

from oaicompat_proxy.dialects.ag_ui.event_names import call_id_of, custom_name_of, name_of


@pytest.mark.parametrize(
    "head",
    [
        b'{"type":"RAW","event":{"type":"CUSTOM"',
        b' { "type" : "RAW" , ',
        b'{"timestamp":17.5e3,"subagentRunId":null,"x":true,"messageId":"a\\"{","type":"RAW"',
        b'{"\xc3\xa9":-1,"type":"RAW"}',
    ],
)
def test_the_name_stands_behind_what_is_simple(head: bytes) -> None:
    assert name_of(head) == b"RAW"


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b"{", b"7", b'{"type":7', b'{"type":"RA', b'{"type":"R\\u0041W"', b'{"event":{"type":"RAW"'),
        b'{"rawEvent":{"type":"RAW"},"type":"RAW"',
    ],
)
def test_a_name_that_cannot_be_seen_is_not_guessed(head: bytes) -> None:
    assert name_of(head) is None


@pytest.mark.parametrize(
    ("head", "call_id"),
    [
        (b'{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c1","content":"', "c1"),
        (b'{"toolCallId" : "c\\"1", "content"', 'c"1'),
        (b'{"content":"\\"toolCallId\\":\\"c2\\"","toolCallId":"c1"', None),
        (b'{"metadata":{"toolCallId":"c2"},"toolCallId":"c1"', None),
        (b'{"rawEvent":{"toolCallId":"c2"},"toolCallId":"c1"', None),
        (b'{"messageId":"\\"toolCallId\\":\\"c2\\"","toolCallId":"c1"', "c1"),
        (b'{"toolCallId":"c', None),
        (b'{"toolCallId":"\\ud83c","content"', None),
        (b'{"toolCallId":"\xff","content"', None),
        (b'{"toolCallId":7,"content"', None),
    ],
)
def test_a_calls_id_is_one_only_in_front_of_what_may_look_like_it(head: bytes, call_id: str | None) -> None:
    assert call_id_of(head) == call_id


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'{"type":"CUSTOM","name":"on_interrupt","value":"x"}', b"on_interrupt"),
        (b'{"type":"CUSTOM","timestamp":7,"name" : "usage","value":{"name":"on_interrupt"}}', b"usage"),
        (b'{"type":"CUSTOM","value":"\\"name\\":\\"on_interrupt\\"","name":"usage"}', b"usage"),
        (b'{"type":"CUSTOM","rawEvent":{"name":"x"},"name":"on_interrupt"}', None),
        (b'{"type":"CUSTOM","name":"on_\\u0069nterrupt"}', None),
        (b'{"type":"CUSTOM","name":7}', None),
        (b'{"type":"CUSTOM","name":"on_inter', None),
    ],
)
def test_a_custom_events_name_is_seen_or_not_guessed(head: bytes, name: bytes | None) -> None:
    assert custom_name_of(head) == name
