"""One run within its allowance of memory."""

from __future__ import annotations

from collections.abc import Callable

from oaicompat_proxy.api.registry import APIS
from oaicompat_proxy.core.errors import AgentError, UpstreamUnreachable
from oaicompat_proxy.core.events import Event
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
    run.gateway_bytes(b"x" * 700)
    assert len(granted) == 3, "the client's bytes are taken off, too"
    assert run.held == 3000
    assert [kind for _, kind, _ in run.entries()[0]] == ["native", "client", "native"]


def test_a_tap_records_what_it_passes_on() -> None:
    run = new_run(lambda run: 1000)
    passed: list[bytes] = []

    def feed(data: bytes) -> list[Event]:
        passed.append(data)
        return []

    tapped = run.tap(feed)
    tapped(b"a")
    run.client_bytes(b"A")
    run.ping(b": ping")
    seen, place = run.entries()
    tapped(b"b")
    assert passed == [b"a", b"b"]
    assert [(kind, data) for _, kind, data in seen] == [("native", b"a"), ("client", b"A"), ("ping", b": ping")]
    assert [(kind, data) for _, kind, data in run.entries(place)[0]] == [("native", b"b")]
    assert seen[0][0] == seen[1][0] <= seen[2][0]


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
    assert run.writes == []
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
    assert run.entries()[0] == []


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
