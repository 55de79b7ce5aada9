"""Failures that stand for a short time."""

from oaicompat_proxy.core.errors import AgentError
from oaicompat_proxy.server.idempotency.recent_failures import LIFETIME, MAX_FAILURES, RecentFailures

FAILURE = AgentError("no")


def test_a_failure_is_that_of_its_caller_and_request_for_a_while() -> None:
    failures = RecentFailures()
    failures.add("bob", b"1", FAILURE, 100.0)
    assert failures.get("bob", b"1", 100.0 + LIFETIME - 1) is FAILURE
    assert failures.get("bob", b"1", 100.0 + LIFETIME) is None
    assert failures.get("eve", b"1", 100.0) is failures.get("bob", b"2", 100.0) is None


def test_old_ones_go_and_the_number_is_bounded() -> None:
    failures = RecentFailures()
    for number in range(MAX_FAILURES + 10):
        failures.add("bob", b"%d" % number, FAILURE, 100.0)
    assert len(failures) == MAX_FAILURES
    assert failures.get("bob", b"0", 100.0) is None
    failures.add("bob", b"new", FAILURE, 100.0 + LIFETIME)
    assert len(failures) == 1
