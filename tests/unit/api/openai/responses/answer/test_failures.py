"""A failure behind the beginning of a stream."""

import pytest

from oaicompat_proxy.core.answer import TextPart
from oaicompat_proxy.core.errors import (
    AgentError,
    AgentRateLimited,
    InvalidRequest,
    ProxyError,
    RunCancelled,
    UpstreamInterrupted,
)
from tests.support.response_parts import kinds, new_encoder, stream
from tests.support.responses_conformance import check_response_stream


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (UpstreamInterrupted("gone"), "invalid_prompt"),
        (InvalidRequest("no"), "invalid_prompt"),
        (AgentRateLimited("slow"), "rate_limit_exceeded"),
    ],
)
def test_a_failure_is_said_twice(failure: ProxyError, code: str) -> None:
    raw = stream(TextPart("Half"), failure=failure)
    assert kinds(raw)[-2:] == ["error", "failed"]
    received = check_response_stream(raw)
    assert (received.status, received.error) == ("failed", {"code": code, "message": failure.message})
    assert received.response["output"] == []


def test_a_failure_in_front_of_everything_has_its_response_too() -> None:
    received = check_response_stream(new_encoder().fail(AgentError("no")))
    assert received.status == "failed"


def test_a_cancelled_response_says_so_in_its_last_event() -> None:
    """The API has no event for it."""
    raw = stream(TextPart("Half"), failure=RunCancelled("stopped"))
    assert kinds(raw)[-2:] == ["error", "failed"]
    received = check_response_stream(raw)
    assert (received.status, received.error) == ("cancelled", {"code": "invalid_prompt", "message": "stopped"})
