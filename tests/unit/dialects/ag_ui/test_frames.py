"""Bytes of a frame, and the event that they are."""

from __future__ import annotations

import pytest

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.dialects.ag_ui.frames import decode


def test_an_event_is_an_object_with_a_type() -> None:
    assert decode(b'{"type":"RAW","event":[1]}') == {"type": "RAW", "event": [1]}


def test_half_a_character_and_bytes_that_are_no_utf8_are_read() -> None:
    assert decode(b'{"type":"RAW","event":"\\ud83c"}')["event"] == "\ud83c"
    assert decode(b'{"type":"RAW","event":"\xff"}')["event"] == "\ufffd"


@pytest.mark.parametrize("frame", [b"", b"{", b"hello", b"[DONE]", b"[" * 100_000, b'{"type":"RAW"' + b'"a":' * 9])
def test_what_is_no_json_is_the_agents_fault(frame: bytes) -> None:
    with pytest.raises(UpstreamError, match="no JSON"):
        decode(frame)


@pytest.mark.parametrize("frame", [b"7", b"[]", b"null", b'"RAW"', b"{}", b'{"type":null}', b'{"type":["RAW"]}'])
def test_json_that_is_no_event_is_the_agents_fault(frame: bytes) -> None:
    with pytest.raises(UpstreamError, match="without a type"):
        decode(frame)
