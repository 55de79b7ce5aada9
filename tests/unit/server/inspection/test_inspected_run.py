"""One run within its allowance of memory."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import pytest

from oaicompat_proxy.api.registry import APIS
from oaicompat_proxy.core.errors import AgentError, UpstreamUnreachable
from oaicompat_proxy.server.inspection.inspected_run import (
    ITEM_BYTES,
    MAX_UNCOUNTED,
    ClientCall,
    InspectedRun,
    describe,
)
from oaicompat_proxy.server.observability.run_report import RunCounts, RunReport


def new_run(grant: Callable[[InspectedRun], int]) -> InspectedRun:
    call = ClientCall("POST", "http://localhost/v1/chat/completions", {})
    return InspectedRun("r1", APIS["chat"], call, 0.0, RunReport("chat", RunCounts()), None, grant)


def test_it_asks_for_memory_as_it_needs_it() -> None:
    granted: list[int] = []

    def grant(run: InspectedRun) -> int:
        granted.append(1000)
        return 1000

    run = new_run(grant)
    run.gateway_bytes(b"x" * 700)
    run.client_bytes(b"x" * 700)
    run.gateway_bytes(b"x" * 700)
    assert len(granted) == 3, "the client's bytes are taken off, too"
    assert run.held == 3000
    assert [kind for _, kind, _ in run.entries()[0]] == ["native", "client", "native"]


def log(run: InspectedRun, data: bytes) -> None:
    """One read, as a connection logs it."""
    run.reads.append(data)
    run.moments.append(perf_counter())


def test_what_a_connection_logs_stands_between_the_rest() -> None:
    run = new_run(lambda run: 1000)
    log(run, b"a")
    run.client_bytes(b"A")
    run.ping(b": ping")
    seen, place = run.entries()
    log(run, b"b")
    assert [(kind, data) for _, kind, data in seen] == [("native", b"a"), ("client", b"A"), ("ping", b": ping")]
    assert [(kind, data) for _, kind, data in run.entries(place)[0]] == [("native", b"b")]
    assert seen[0][0] == seen[1][0] <= seen[2][0]


def test_a_second_run_stands_between_the_reads_of_both() -> None:
    seen = new_run(lambda run: 1000)
    log(seen, b"a")
    seen.begin_next_run()
    log(seen, b"b")
    assert [(kind, data) for _, kind, data in seen.entries()[0]] == [("native", b"a"), ("run", b""), ("native", b"b")]


def test_a_clock_that_lags_does_not_go_back() -> None:
    run = new_run(lambda run: 1000)
    run.ping(b": ping")
    run.reads.append(b"a")
    run.moments.append(0.5)
    (pinged, _, _), (read, _, _) = run.entries()[0]
    assert read == pinged


@pytest.mark.parametrize("written", [[b"w" * 5000], [], [b"w", b"w" * 4999]], ids=["once", "not at all", "twice"])
def test_a_batch_of_reads_is_counted_whole(written: list[bytes]) -> None:
    run = new_run(lambda run: 200_000)
    for _ in range(10):
        log(run, b"r" * 100)
        for data in written:
            run.client_bytes(data)
    run.count(1000)
    counted = 10 * (100 + ITEM_BYTES + sum(map(len, written)))
    asked = 0
    while run.held == 200_000:
        run.wait_for("run")
        run.ping(b"p" * (1000 - ITEM_BYTES))
        asked += 1000
    assert 200_000 - counted - 1000 <= asked <= 200_000 - counted + 1000


def test_without_memory_it_is_cut_for_good() -> None:
    left = [1000]
    run = new_run(lambda run: left.pop() if left else 0)
    run.gateway_bytes(b"x" * (1000 - ITEM_BYTES))
    run.gateway_bytes(b"y")
    run.gateway_bytes(b"z")
    run.client_bytes(b"z")
    run.request(b"z")
    run.gateway_bytes(b"z")
    assert [data[:1] for _, _, data in run.entries()[0]] == [b"x"]
    assert run.reads == []
    assert run.is_cut
    assert run.sent == b""


@pytest.mark.parametrize(
    ("size", "reads"),
    [
        pytest.param(256 * 1024, 40, id="one huge run"),
        pytest.param(20, 10_000, id="10,000 small reads", marks=pytest.mark.slow),
    ],
)
def test_a_run_holds_no_more_than_it_was_granted(size: int, reads: int) -> None:
    """A connection that reports as late as it may; each byte of the agent becomes one for the client."""
    memory = [64 * 1024] * 4
    run = new_run(lambda run: memory.pop() if memory else 0)
    due = held = most = 0
    for _ in range(reads):
        log(run, b"r" * size)
        run.client_bytes(b"w" * size)
        held += size
        most = max(most, bytes_of(run) - run.held)
        if held >= due:
            due, held = run.count(held), 0
            assert bytes_of(run) <= run.held
    assert run.is_cut
    assert run.held <= 256 * 1024
    assert most <= 2 * size + (MAX_UNCOUNTED // size + 1) * (2 * size + ITEM_BYTES)


def bytes_of(run: InspectedRun) -> int:
    """Memory of the kept data, and of the data that is not counted yet."""
    kept = sum(len(each) for _, _, each in run.entries()[0])
    waiting = [*run.reads, *(each for each in run.moments if isinstance(each, bytes))]
    return kept + (sum(map(len, waiting)) if run.is_cut else 0)


def test_its_end_lets_go_of_the_work() -> None:
    run = new_run(lambda run: 1000)
    run.gateway_bytes(b"x")
    report = run.report
    assert report is not None
    report.end(sent=0)
    run.finish(report)
    assert run.is_over
    assert not isinstance(run.summary, RunReport)
    assert run.drop() == 1000
    assert run.entries()[0] == []


def test_an_error_is_shown_with_its_causes() -> None:
    try:
        try:
            raise OSError(111, "refused, token=hunter2")
        except OSError as cause:
            raise UpstreamUnreachable("no gateway") from cause
    except UpstreamUnreachable as error:
        failure = describe(error)
    assert (failure.code, failure.status, failure.message) == ("upstream_unreachable", 502, "no gateway")
    assert failure.causes[0].startswith("ConnectionRefusedError: ")
    assert "hunter2" not in failure.causes[0]


def test_a_bug_says_only_its_kind() -> None:
    failure = describe(KeyError("a prompt"))
    assert "KeyError" in failure.message
    assert "a prompt" not in failure.message
    assert describe(AgentError("boom")).causes == ()
