from collections.abc import Callable
from typing import Any

import pytest

from oaicompat_proxy.core.errors import InternalError, ProxyError, UpstreamAnswerTooLong
from oaicompat_proxy.server.answer_stores.memory_answers import MemoryAnswers
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds
from oaicompat_proxy.server.idempotency.kept_answer import KeptAnswer, find_maker, makers_of
from oaicompat_proxy.server.idempotency.process_life import ProcessLife
from oaicompat_proxy.server.shared_storage.shared_table import SharedTable

WHO = "alice"
BOUNDS = Bounds(100, 60)


class Api:
    """The bodies of an API, as words."""

    def last_body(self, body: bytes, error: ProxyError, encoder: object) -> bytes:
        return body + b", then " + type(error).__name__.encode()


API: Any = Api()


@pytest.fixture
def answers() -> MemoryAnswers:
    return MemoryAnswers(BOUNDS, SharedTable(slots=64, slot_size=1024))


Make = Callable[[ProcessLife], KeptAnswer]


@pytest.fixture
def make(answers: MemoryAnswers) -> Make:
    return lambda life: KeptAnswer(API, "toy-1", WHO, answers, life, background=True)


async def stored(answers: MemoryAnswers, *names: str) -> dict[str, bytes]:
    return await answers.find(WHO, names or ["toy-1"], max_bytes=1000)


async def test_the_record_is_there_from_the_beginning(answers: MemoryAnswers, make: Make) -> None:
    life = ProcessLife(answers)
    kept = make(life)
    records: list[bytes | None] = []
    kept.on_open = lambda: records.append(kept.first_body)
    await kept.open({"more": b"input"}, b"queued")
    assert records == [b"queued"]
    assert await stored(answers, "toy-1", "more") == {"toy-1": b"queued", "more": b"input"}
    await kept.update(b"running")
    assert kept.first_body == b"queued"
    assert await find_maker(API, WHO, "toy-1", answers, life) == (life.process, False)
    await kept.complete({"toy-1": b"done"})
    await kept.end(InternalError(), None)
    assert await stored(answers) == {"toy-1": b"done"}
    assert await answers.find(makers_of(WHO), ["toy-1"], max_bytes=1000) == {}
    assert await find_maker(API, WHO, "toy-1", answers, life) is None
    await life.end()


async def test_a_failure_is_its_end(answers: MemoryAnswers, make: Make) -> None:
    life = ProcessLife(answers)
    kept = make(life)
    await kept.end(InternalError(), None)
    assert await stored(answers) == {}
    await kept.open({}, b"queued")
    await kept.end(InternalError(), None)
    assert await stored(answers) == {"toy-1": b"queued, then InternalError"}
    assert await answers.find(makers_of(WHO), ["toy-1"], max_bytes=1000) == {}
    await life.end()


async def test_an_answer_without_a_body_to_store_fails(answers: MemoryAnswers, make: Make) -> None:
    life = ProcessLife(answers)
    kept = make(life)
    await kept.open({}, b"queued")
    await kept.complete({})
    assert await stored(answers) == {"toy-1": b"queued, then " + UpstreamAnswerTooLong.__name__.encode()}
    await life.end()


async def test_the_record_of_a_dead_process_is_ended(answers: MemoryAnswers, make: Make) -> None:
    dead, alive = ProcessLife(answers), ProcessLife(answers)
    await make(dead).open({}, b"running")
    assert await find_maker(API, WHO, "toy-1", answers, alive) == (dead.process, False)
    await dead.end()  # as if its heartbeat had expired
    assert await find_maker(API, WHO, "toy-1", answers, alive) is None
    assert await stored(answers) == {"toy-1": b"running, then AnswerCut"}
    assert await answers.find(makers_of(WHO), ["toy-1"], max_bytes=1000) == {}
    assert not await alive.is_alive(dead.process)
