import json
from collections.abc import Iterator

import pytest

from oaicompat_proxy.api.openai.errors import error_body, error_ending, type_of
from oaicompat_proxy.core import errors
from tests.support.conformance import check_error_body, check_stream

SHOWN = [
    (
        errors.InvalidRequest("Bad.", param="messages[0]", code="missing"),
        {"message": "Bad.", "type": "invalid_request_error", "param": "messages[0]", "code": "missing"},
    ),
    (
        errors.ModelNotFound("Who?"),
        {"message": "Who?", "type": "invalid_request_error", "param": None, "code": "model_not_found"},
    ),
    (errors.AgentError("No."), {"message": "No.", "type": "server_error", "param": None, "code": "agent_error"}),
    (
        errors.AgentRateLimited("Slow."),
        {"message": "Slow.", "type": "requests", "param": None, "code": "rate_limit_exceeded"},
    ),
]


@pytest.mark.parametrize(("error", "expected"), SHOWN)
def test_an_error_is_shown_as_openai_shows_it(error: errors.ProxyError, expected: dict[str, str | None]) -> None:
    assert check_error_body(error_body(error)) == expected


def test_the_body_has_four_fields_in_openais_order() -> None:
    assert error_body(errors.AgentError("\u2028\ud83c")) == (
        '{"error":{"message":"\\u2028\ufffd","type":"server_error","param":null,"code":"agent_error"}}'.encode()
    )


def test_a_stream_that_failed_ends_with_the_error_and_done() -> None:
    error = errors.AgentError("It broke.")
    ending = error_ending(error)
    assert ending == b"data: " + error_body(error) + b"\n\ndata: [DONE]\n\n"
    assert check_stream(ending, include_usage=False).error == json.loads(error_body(error))["error"]


def kinds_of(root: type[errors.ProxyError]) -> Iterator[type[errors.ProxyError]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds_of(kind)


@pytest.mark.parametrize("kind", list(kinds_of(errors.InvalidRequest)), ids=lambda kind: kind.__name__)
def test_every_fault_of_the_client_is_an_invalid_request(kind: type[errors.ProxyError]) -> None:
    assert type_of(kind.__new__(kind)) == "invalid_request_error"
