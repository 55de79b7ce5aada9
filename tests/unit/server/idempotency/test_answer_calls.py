import pytest

from oaicompat_proxy.server.idempotency.answer_calls import (
    READ,
    AnswerCall,
    AnswerReply,
    count_events,
    decode_call,
    decode_reply,
)


def test_a_call_is_the_same_on_the_other_side() -> None:
    call = AnswerCall(READ, "alice", "toy-1", "reader", 3)
    assert decode_call(call.encode()) == call


@pytest.mark.parametrize("data", [b"", b"event: a\ndata: {}\n\n", "data: ü\n\n".encode()])
def test_a_reply_is_the_same_on_the_other_side(data: bytes) -> None:
    reply = AnswerReply("live", data, 3, "data: ping\n\n", committed=True)
    assert decode_reply(reply.encode()) == reply


def test_events_are_counted() -> None:
    assert count_events(b"event: a\ndata: {}\n\nevent: b\ndata: {}\n\n") == 2
