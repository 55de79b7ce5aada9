"""One run within its allowance of memory."""

from __future__ import annotations

from collections.abc import Callable

from oaicompat_proxy.api.registry import APIS
from oaicompat_proxy.core.errors import AgentError, UpstreamUnreachable
from oaicompat_proxy.server.inspection.inspected_run import ITEM_BYTES, ClientCall, InspectedRun, describe
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
    assert len(granted) == 2
    assert run.held == 2000
    assert [kind for _, kind, _ in run.items] == ["native", "client"]


def test_without_memory_it_is_cut_for_good() -> None:
    left = [1000]
    run = new_run(lambda run: left.pop() if left else 0)
    run.gateway_bytes(b"x" * (1000 - ITEM_BYTES))
    run.gateway_bytes(b"y")
    run.gateway_bytes(b"z")
    run.client_bytes(b"z")
    run.request(b"z")
    assert [data[:1] for _, _, data in run.items] == [b"x"]
    assert run.is_cut
    assert run.sent == b""


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
    assert run.items == []


def test_an_error_is_told_with_its_causes() -> None:
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
