"""The report of a run after each of its stages."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from oaicompat_proxy.core import errors
from oaicompat_proxy.core.answer import FinishReason
from oaicompat_proxy.core.events import Usage
from oaicompat_proxy.server.observability.run_report import RunCounts, RunReport


def report(counts: RunCounts | None = None) -> RunReport:
    return RunReport("chat", counts or RunCounts())


def test_a_bug_of_the_proxy_is_an_internal_error() -> None:
    failed = report()
    failed.fail(ZeroDivisionError("s3cr3t"))
    failed.end(sent=0)
    assert (failed.outcome, failed.error_type, failed.status) == ("internal_error", "server_error", 500)


def test_the_first_failure_counts() -> None:
    failed = report()
    failed.fail(errors.AgentError("first"))
    failed.on_client_gone()
    failed.fail(errors.UpstreamTimeout("last"))
    failed.end(sent=0)
    assert (failed.outcome, failed.error_type) == ("agent_error", "agent_error")


@pytest.mark.parametrize(("sent", "status"), [(0, 499), (100, 200)])
def test_a_client_that_left_got_200_or_nothing(sent: int, status: int) -> None:
    left = report()
    left.on_client_gone()
    left.end(sent=sent)
    assert (left.outcome, left.error_type, left.status) == ("client_gone", "client_gone", status)


def test_waiting_and_running_requests_are_counted_until_their_end() -> None:
    in_progress = RunCounts()

    def counts() -> tuple[int, int]:
        return in_progress.waiting, in_progress.running

    waits, runs, resumes = report(in_progress), report(in_progress), report(in_progress)
    waits.on_queued()
    assert counts() == (1, 0)
    runs.on_queued()
    runs.on_started("s1")
    assert counts() == (1, 1)
    resumes.on_started("s2")
    assert counts() == (1, 2)
    for each in (waits, runs, resumes, report(in_progress)):
        each.end(sent=0)
        each.end(sent=0)
    assert counts() == (0, 0)


class Stats:
    """Counters of the run, the translator and the encoder."""

    sent, received = 3, 4
    execution, upstream_request_id = "e1", "u1"
    ticks, finish_reason, usage = 2, FinishReason.STOP, Usage(5, 6, 11)
    chunks = 7


async def test_durations_are_those_between_the_stages() -> None:
    whole = report()
    whole.on_body(10)
    whole.on_queued()
    await asyncio.sleep(0.02)
    whole.on_started("s1")
    await asyncio.sleep(0.01)
    whole.on_run(Stats())
    whole.on_call(Stats(), Stats())
    called = perf_counter()
    whole.on_read(called + 0.5)
    whole.on_read(called - 0.25)
    whole.on_sent()
    sent, first_token, added = perf_counter(), whole.first_token, whole.added_to_first_token
    whole.on_read(called + 1)
    whole.on_sent()
    whole.end(sent=20, status=200)
    assert whole.waited >= 0.019
    assert whole.added_before_call is not None
    assert 0.009 <= whole.added_before_call < called - whole.began - 0.019
    assert whole.first_event == pytest.approx(0.5, abs=0.005)
    assert whole.first_token == first_token == pytest.approx(sent - whole.began, abs=0.005)
    assert whole.added_to_first_token == added == pytest.approx(sent - called + 0.25, abs=0.005)
    assert whole.duration >= 0.03
    assert (whole.turn_bytes, whole.received_bytes, whole.requested_bytes, whole.sent_bytes) == (3, 4, 10, 20)
    assert (whole.execution, whole.upstream_request_id, whole.session) == ("e1", "u1", "s1")
    assert (whole.ticks, whole.finish_reason, whole.usage, whole.chunks) == (2, "stop", Usage(5, 6, 11), 7)


def test_an_answer_that_failed_has_no_finish_reason() -> None:
    failed = report()
    failed.on_call(Stats())
    failed.fail(errors.UpstreamError("late"))
    failed.end(sent=1)
    assert (failed.finish_reason, failed.ticks, failed.chunks) == ("", 2, 0)
