"""The sinks of a whole answer; those of a stream are tested with the shared answer."""

import pytest

from oaicompat_proxy.core.errors import AgentError
from oaicompat_proxy.server.idempotency.cache import IdempotencyCache
from oaicompat_proxy.server.idempotency.shared_answer import SharedAnswer
from oaicompat_proxy.server.idempotency.shared_sinks import SharedBodySink, SharedSinkFactory


def recording(*, max_size: int = 2**20) -> SharedAnswer:
    new_cache: IdempotencyCache[SharedAnswer] = IdempotencyCache(max_entries=9, max_size=max_size, max_bytes=2**20)
    made = SharedAnswer("me", "k", b"", new_cache)
    new_cache.add(made)
    return made


async def test_a_whole_answer_is_one_piece_however_long() -> None:
    made = recording(max_size=2**21)
    async with SharedBodySink(made) as answer:
        await answer.finish(b"x" * 2**20)
    reader = made.add_reader()
    assert len(await made.read(reader)) == 2**20
    assert reader.at_end


async def test_a_whole_answer_that_fails_raises() -> None:
    async with SharedBodySink(recording()) as answer:
        assert not answer.committed
        with pytest.raises(AgentError):
            await answer.fail(AgentError("No."))


async def test_the_factory_makes_sinks_of_its_answer() -> None:
    made = recording()
    async with SharedSinkFactory(made).body() as sink:
        await sink.finish(b"{}")
    assert await made.read(made.add_reader()) == b"{}"
