"""Errors in Anthropic's words."""

import json

import pytest

from oaicompat_proxy.api.anthropic.api import MESSAGES
from oaicompat_proxy.core import errors as tree
from oaicompat_proxy.core.errors import ProxyError
from tests.support.messages_conformance import check_message_error

CASES: list[tuple[ProxyError, int, str]] = [
    (tree.InvalidRequest("x"), 400, "invalid_request_error"),
    (tree.SessionBusy("x"), 409, "conflict_error"),
    (tree.IdempotencyKeyReused("x"), 409, "conflict_error"),
    (tree.IdempotentAnswerGone("x"), 409, "conflict_error"),
    (tree.RunCancelled("x"), 409, "conflict_error"),
    (tree.MissingKey("x"), 401, "authentication_error"),
    (tree.InvalidKey("x"), 401, "authentication_error"),
    (tree.Forbidden("x"), 403, "permission_error"),
    (tree.OriginNotAllowed("x"), 403, "permission_error"),
    (tree.ModelNotFound("x"), 404, "not_found_error"),
    (tree.BodyTooLarge("x"), 413, "request_too_large"),
    (tree.RateLimited("x", retry_after=2.5), 429, "rate_limit_error"),
    (tree.TooManyRuns("x"), 429, "rate_limit_error"),
    (tree.AgentRateLimited("x"), 429, "rate_limit_error"),
    (tree.InternalError(), 500, "api_error"),
    (tree.AgentError("x"), 502, "api_error"),
    (tree.UpstreamUnreachable("x"), 502, "api_error"),
    (tree.AnswerCut("x"), 503, "api_error"),
    (tree.UpstreamTimeout("x"), 504, "timeout_error"),
    (tree.Overloaded("x"), 529, "overloaded_error"),
    (tree.AgentOverloaded("x"), 529, "overloaded_error"),
    (tree.ServerStopping("x"), 529, "overloaded_error"),
]


@pytest.mark.parametrize(("error", "status", "kind"), CASES, ids=lambda case: type(case).__name__)
def test_status_and_type(error: ProxyError, status: int, kind: str) -> None:
    answer = MESSAGES.encode_error(error)
    assert (answer.status, check_message_error(answer.body)["type"]) == (status, kind)


def test_headers_say_whether_and_when_to_ask_again() -> None:
    limited = MESSAGES.encode_error(tree.RateLimited("x", retry_after=2.5)).headers
    assert (limited["x-should-retry"], limited["retry-after"]) == ("true", "3")
    assert MESSAGES.encode_error(tree.AgentError("x")).headers == {"x-should-retry": "false"}


def test_a_body_has_the_id_of_its_request() -> None:
    answered = json.loads(MESSAGES.encode_error(tree.AgentError("x"), "req_1").body)
    assert answered == {"type": "error", "error": {"type": "api_error", "message": "x"}, "request_id": "req_1"}
    assert "request_id" not in json.loads(MESSAGES.encode_error(tree.AgentError("x")).body)


PROTOCOL = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    504: "timeout_error",
}
"""The type of each status that the service itself uses."""

KINDS = [kind for kind in vars(tree).values() if isinstance(kind, type) and issubclass(kind, ProxyError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_the_type_of_its_status(kind: type[ProxyError]) -> None:
    error = kind.__new__(kind)
    error.message = "x"
    answer = MESSAGES.encode_error(error)
    written = check_message_error(answer.body)["type"]
    assert written == PROTOCOL.get(answer.status, written)
    if kind.status == 503 and kind.should_retry:
        assert (answer.status, written) == (529, "overloaded_error")
