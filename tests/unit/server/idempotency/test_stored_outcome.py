"""An outcome as bytes: another process sends the same answer, and raises the same error."""

from __future__ import annotations

import pytest

from oaicompat_proxy.core.errors import (
    AgentError,
    AgentRateLimited,
    IdempotentAnswerGone,
    InvalidRequest,
    ProxyError,
    UpstreamInterrupted,
)
from oaicompat_proxy.server.idempotency.cache import IdempotencyCache
from oaicompat_proxy.server.idempotency.shared_answer import SharedAnswer
from oaicompat_proxy.server.idempotency.stored_outcome import encode_outcome, restore_outcome

LARGEST = 1000


def new_shared(size: int = 10_000) -> SharedAnswer:
    cache: IdempotencyCache[SharedAnswer] = IdempotencyCache(max_entries=9, max_size=size, max_bytes=size)
    shared = SharedAnswer("me", "k", b"", cache)
    cache.add(shared)
    return shared


def answered(*pieces: bytes, streamed: bool = True, size: int = 10_000) -> SharedAnswer:
    shared = new_shared(size)
    shared.begin(streamed=streamed)
    for piece in pieces:
        shared.write(piece)
    shared.end()
    return shared


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("pieces", [(b"data: a\n\n", b"data: b\n\n"), (b"\xff{\n\n}",), ()])
async def test_an_answer_is_the_same_in_every_byte(streamed: bool, pieces: tuple[bytes, ...]) -> None:
    copy = new_shared()
    reader = copy.add_reader()
    restore_outcome(encode_outcome(answered(*pieces, streamed=streamed), None, max_size=LARGEST), copy)
    assert await copy.is_stream() == streamed
    assert reader.read() == b"".join(pieces)
    assert reader.at_end


@pytest.mark.parametrize(
    "error",
    [
        UpstreamInterrupted("It broke."),
        AgentError("The model failed."),
        AgentRateLimited("Slow down."),
        IdempotentAnswerGone("Gone."),
        InvalidRequest("Wrong.", param="input[0]", code="bad"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_is_of_the_same_class_and_is_not_to_be_repeated(error: ProxyError) -> None:
    outcome = encode_outcome(new_shared(), error, max_size=LARGEST)
    with pytest.raises(type(error)) as caught:
        restore_outcome(outcome, new_shared())
    raised = caught.value
    assert (raised.message, raised.param, raised.code, raised.status) == (
        error.message,
        error.param,
        error.code,
        error.status,
    )
    assert raised.should_retry is False


def test_a_failure_of_another_release_is_a_failure() -> None:
    outcome = encode_outcome(new_shared(), AgentError("Odd."), max_size=LARGEST).replace(b"AgentError", b"Unheard")
    with pytest.raises(ProxyError, match="Odd") as caught:
        restore_outcome(outcome, new_shared())
    assert type(caught.value) is ProxyError


@pytest.mark.parametrize("size", [10, 10_000], ids=["too long for memory", "too long for Redis"])
def test_an_answer_that_is_too_long_is_gone(size: int) -> None:
    outcome = encode_outcome(answered(b"x" * (LARGEST + 1), size=size), None, max_size=LARGEST)
    with pytest.raises(IdempotentAnswerGone, match="too long"):
        restore_outcome(outcome, new_shared())
