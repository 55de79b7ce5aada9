from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.core import errors
from oaicompat_proxy.server.observability.outcomes import (
    FAILED_UPSTREAM,
    FAILURES,
    OUTCOMES,
    error_type,
    outcome_of,
    reason_of,
    status_of,
)

ERRORS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.ProxyError)]


def made(kind: type[errors.ProxyError]) -> errors.ProxyError:
    """An error of this class, with any arguments that it needs."""
    wanted: dict[type, tuple[Any, ...]] = {errors.InternalError: (), errors.MethodNotAllowed: (["GET"],)}
    return kind(*wanted.get(kind, ("What went wrong.",)))


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (errors.InvalidRequest, "refused"),
        (errors.ModelNotFound, "refused"),
        (errors.SessionBusy, "refused"),
        (errors.RequestTimeout, "refused"),
        (errors.StoreUnavailable, "refused"),
        (errors.UpstreamUnreachable, "upstream_error"),
        (errors.UpstreamInterrupted, "upstream_error"),
        (errors.UpstreamTimeout, "timeout"),
        (errors.UpstreamConnectTimeout, "timeout"),
        (errors.AgentTimeout, "timeout"),
        (errors.AgentError, "agent_error"),
        (errors.AgentRateLimited, "agent_error"),
        (errors.AgentContentFiltered, "agent_error"),
        (errors.ContextTooLong, "agent_error"),
        (errors.InternalError, "internal_error"),
    ],
)
def test_an_error_has_one_outcome(kind: type[errors.ProxyError], outcome: str) -> None:
    error = made(kind)
    assert (outcome_of(error), status_of(error)) == (outcome, kind.status)


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_a_word_of_a_fixed_list(kind: type[errors.ProxyError]) -> None:
    """A code may come from the client's request; the label is that of the class."""
    error = made(kind)
    error.code = "made up"
    assert error_type(error)
    assert "made up" not in error_type(error)
    assert outcome_of(error) in OUTCOMES


def test_outcomes_are_those_that_are_explained() -> None:
    assert {outcome for _, outcome in FAILURES} | {"success", "client_gone"} == set(OUTCOMES)
    assert set(OUTCOMES) > FAILED_UPSTREAM


def test_an_operator_learns_why_the_gateway_failed() -> None:
    error = errors.UpstreamUnreachable("The agent gateway cannot be reached.")
    assert reason_of(error) == "The agent gateway cannot be reached."
    error.__cause__ = OSError(-2, "Name or service not known")
    assert reason_of(error) == "The agent gateway cannot be reached. (Name or service not known)"


def test_an_operator_learns_what_a_store_said() -> None:
    error, inner = errors.StoreUnavailable("Try again."), errors.StoreUnavailable("Redis cannot be reached.")
    error.__cause__, inner.__cause__ = inner, ConnectionError("NOAUTH Authentication required.")
    assert reason_of(error) == "NOAUTH Authentication required."


@pytest.mark.parametrize(
    "kind", [errors.AgentAborted, errors.AgentTimeout, errors.InvalidRequest, errors.ModelNotFound]
)
def test_no_reason_quotes_an_agent_or_a_client(kind: type[errors.ProxyError]) -> None:
    assert reason_of(made(kind)) == ""
