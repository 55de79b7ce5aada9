"""An event is recognised by its first bytes, in any order of its keys."""

from __future__ import annotations

import pytest

from oaicompat_proxy.dialects.agentick.frames import call_id_of, name_of

RECOGNISED = [
    b'{"type":"event","event":"tick_start","sessionId":"s","data":{}}',
    b'{"event":"tick_start","type":"event","sessionId":"s"}',
    b'{"type":"event","sessionId":"a:b","event":"tick_start"',
    b' { "type" : "event" , "sessionId" : "with \\" quote" , "event" : "tick_start" ',
    b'{"sessionId":"s","data":{"type":"tick_start","tick":1}}',
]
UNSEEN = [
    b'{"type":"event","event":"tick\\u005fstart","sessionId":"s"}',
    b'{"type":"event","event":"tick_st',
    b'{"id":1,"event":"tick_start"}',
    b'{"event":7}',
    b"[]",
    b"",
]


@pytest.mark.parametrize("head", RECOGNISED)
def test_a_name_is_seen_without_decoding(head: bytes) -> None:
    assert name_of(head) == b"tick_start"


@pytest.mark.parametrize("head", UNSEEN)
def test_where_it_cannot_be_seen_nothing_is_guessed(head: bytes) -> None:
    assert name_of(head) is None


RESULT = b'{"type":"event","event":"tool_result","sessionId":"s","data":{"type":"tool_result","callId":"%b","name":"x"'


@pytest.mark.parametrize("call_id", ["c1", "é", "functions.add:0"])
def test_the_id_of_a_long_result(call_id: str) -> None:
    assert call_id_of(RESULT % call_id.encode()) == call_id


@pytest.mark.parametrize("head", [b"", RESULT % b"", RESULT % b'c\\"1', RESULT.partition(b"%b")[0]])
def test_an_id_that_cannot_be_seen(head: bytes) -> None:
    assert call_id_of(head) is None
