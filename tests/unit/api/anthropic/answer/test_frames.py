"""Events as bytes."""

from oaicompat_proxy.api.anthropic.answer.frames import PING, DeltaFrames, encode_event


def test_an_event_has_its_name_twice() -> None:
    assert PING == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert encode_event(b"content_block_stop", b',"index":0') == (
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    )


def test_each_text_is_an_event() -> None:
    one = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":3,"delta":{"type":"text_delta"'
    frames = DeltaFrames(3, b"text_delta", b"text")
    assert frames.encode([b"a", b"\\n"]) == one + b',"text":"a"}}\n\n' + one + b',"text":"\\n"}}\n\n'
