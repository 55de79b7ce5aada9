from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.errors import RunElsewhere
from oaicompat_proxy.server.answer_stores.memory_answers import MemoryAnswers
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds
from oaicompat_proxy.server.idempotency.kept_answer import KeptAnswer
from oaicompat_proxy.server.idempotency.kept_answers import KeptAnswers
from oaicompat_proxy.server.idempotency.process_life import ProcessLife
from oaicompat_proxy.server.idempotency.remote_answers import RemoteAnswers
from oaicompat_proxy.server.idempotency.run_once import IdempotentRuns
from oaicompat_proxy.server.shared_storage.shared_table import SharedTable


class Api:
    def last_body(self, body: bytes, error: Exception, encoder: object) -> bytes:
        return b"failed"


@pytest.mark.parametrize("stops", [True, False])
async def test_the_record_of_a_dead_process_is_ended_before_it_is_read(stops: bool) -> None:
    answers = MemoryAnswers(Bounds(100, 60), SharedTable(slots=64, slot_size=1024))
    api: Any = Api()
    dead, life = ProcessLife(answers), ProcessLife(answers)
    runs = IdempotentRuns(Config(demo=True), life)
    kept = KeptAnswers(runs, answers, life, RemoteAnswers(None, answers, life))
    await KeptAnswer(api, "toy-1", "alice", answers, dead, background=True).open({}, b"running")
    if stops:
        with pytest.raises(RunElsewhere):
            await kept.update_record(api, "alice", "toy-1", stops=True)
    await kept.update_record(api, "alice", "toy-1", stops=False)
    assert await answers.find("alice", ["toy-1"], max_bytes=100) == {"toy-1": b"running"}
    await dead.end()
    await kept.update_record(api, "alice", "toy-1", stops=stops)
    assert await answers.find("alice", ["toy-1"], max_bytes=100) == {"toy-1": b"failed"}
    await runs.shutdown()
