"""A response that another process makes, and that process is gone; wire/test_remote_answers has both alive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.core.answer import Envelope
from oaicompat_proxy.core.errors import AnswerCut, RunCancelled, RunElsewhere
from oaicompat_proxy.server.answer_stores.memory_answers import MemoryAnswers
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds
from oaicompat_proxy.server.idempotency.process_life import ProcessLife
from oaicompat_proxy.server.idempotency.remote_answers import RemoteAnswers
from oaicompat_proxy.server.shared_storage.shared_table import SharedTable

BODY = RESPONSES.first_body(Envelope("resp_1", 7, "demo"), {"echo": {}}, queued=False)


async def test_without_calls_a_run_of_another_process_is_elsewhere() -> None:
    answers = MemoryAnswers(Bounds(100, 60), SharedTable(slots=64, slot_size=1024))
    remote = RemoteAnswers(None, answers, ProcessLife(answers))
    with pytest.raises(RunElsewhere):
        await remote.stop("p", "alice", "resp_1")
    request: Any = web.Request
    with pytest.raises(RunElsewhere):
        await remote.follow(request, RESPONSES, "p", "resp_1", BODY, 0)


def events(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.partition(b"data: ")[2]) for event in data.split(b"\n\n")[:-1]]


@pytest.mark.parametrize(
    ("error", "status"), [(AnswerCut("The process has stopped."), "failed"), (RunCancelled("Cancelled."), "cancelled")]
)
def test_a_stream_whose_process_is_gone_ends_with_a_failure(error: Any, status: str) -> None:
    sent_before, ending = events(RESPONSES.lost_end(BODY, error, 5))
    assert (sent_before["type"], sent_before["sequence_number"], sent_before["error"]["message"]) == (
        "error",
        5,
        error.message,
    )
    assert (ending["type"], ending["sequence_number"]) == ("response.failed", 6)
    assert (ending["response"]["id"], ending["response"]["status"]) == ("resp_1", status)


def test_a_response_that_is_complete_stays_so() -> None:
    done = json.dumps({**json.loads(BODY), "status": "completed"}).encode()
    _, ending = events(RESPONSES.lost_end(done, AnswerCut("The process has stopped."), 5))
    assert (ending["type"], ending["response"]["status"]) == ("response.completed", "completed")
