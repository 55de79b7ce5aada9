"""What a report makes of the moments it is told of."""

from __future__ import annotations

import asyncio

import pytest

from oaicompat_proxy.core import errors
from oaicompat_proxy.core.answer import FinishReason
from oaicompat_proxy.core.events import Usage
from oaicompat_proxy.server.observability.run_report import RunReport, Traffic


def report(traffic: Traffic | None = None) -> RunReport:
    return RunReport("chat", traffic or Traffic())


def test_a_fault_of_ours_is_told_as_one() -> None:
    failed = report()
    failed.fail(ZeroDivisionError("s3cr3t"))
    failed.end(sent=0)
    assert (failed.outcome, failed.error_type, failed.status) == ("internal_error", "server_error", 500)


def test_the_first_failure_counts() -> None:
    failed = report()
    failed.fail(errors.AgentError("first"))
    failed.note_client_gone()
    failed.fail(errors.UpstreamTimeout("last"))
    failed.end(sent=0)
    assert (failed.outcome, failed.error_type) == ("agent_error", "agent_error")


@pytest.mark.parametrize(("sent", "status"), [(0, 499), (100, 200)])
def test_a_client_that_left_got_200_or_nothing(sent: int, status: int) -> None:
    left = report()
    left.note_client_gone()
    left.end(sent=sent)
    assert (left.outcome, left.error_type, left.status) == ("client_gone", "client_gone", status)


def test_who_waits_and_who_runs_is_counted_and_forgotten() -> None:
    traffic = Traffic()

    def counts() -> tuple[int, int]:
        return traffic.waiting, traffic.running

    waits, runs, resumes = report(traffic), report(traffic), report(traffic)
    waits.note_wait()
    assert counts() == (1, 0)
    runs.note_wait()
    runs.note_turn("s1")
    assert counts() == (1, 1)
    resumes.note_turn("s2")
    assert counts() == (1, 2)
    for each in (waits, runs, resumes, report(traffic)):
        each.end(sent=0)
        each.end(sent=0)
    assert counts() == (0, 0)


class Known:
    """What is asked at the end, for all three."""

    sent, received = 3, 4
    execution, upstream_request_id = "e1", "u1"
    ticks, finish_reason, usage = 2, FinishReason.STOP, Usage(5, 6, 11)
    chunks = 7


async def test_the_times_are_those_of_the_moments() -> None:
    whole = report()
    whole.note_body(10)
    whole.note_wait()
    await asyncio.sleep(0.02)
    whole.note_turn("s1")
    await asyncio.sleep(0.01)
    whole.note_run(Known())
    whole.note_call(Known(), Known())
    arrived = whole.called + 0.5
    whole.note_read(arrived)
    whole.note_read(arrived + 0.25)
    whole.note_sent()
    first = whole.first_sent
    whole.note_read(arrived + 1)
    whole.note_sent()
    whole.end(sent=20, status=200)
    assert whole.waited >= 0.019
    assert whole.added_before is not None
    assert 0.009 <= whole.added_before < whole.called - whole.began - 0.019
    assert whole.first_event == arrived
    assert whole.first_sent == first is not None
    assert whole.added_to_first == first - (arrived + 0.25)
    assert whole.duration >= 0.03
    assert (whole.turn_bytes, whole.received_bytes, whole.requested_bytes, whole.sent_bytes) == (3, 4, 10, 20)
    assert (whole.execution, whole.upstream_request_id, whole.session) == ("e1", "u1", "s1")
    assert (whole.ticks, whole.finish_reason, whole.usage, whole.chunks) == (2, "stop", Usage(5, 6, 11), 7)


def test_an_answer_that_failed_has_no_finish_reason() -> None:
    failed = report()
    failed.note_call(Known())
    failed.fail(errors.UpstreamError("late"))
    failed.end(sent=1)
    assert (failed.finish_reason, failed.ticks, failed.chunks) == ("", 2, 0)
