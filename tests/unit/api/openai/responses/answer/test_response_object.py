"""What a response says of its request."""

import json
from collections.abc import Callable

from oaicompat_proxy.api.openai.responses.answer.response_object import (
    ResponseObject,
    ResponseState,
    encode_echo,
    encode_usage,
)
from oaicompat_proxy.core.answer import AnswerStarted
from tests.support.response_parts import ENVELOPE, STOP, new_encoder
from tests.support.responses_conformance import check_response_stream


def test_what_the_request_asked_for_is_said_again() -> None:
    asked = {
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "tide"}, {"type": "namespace", "name": "n", "tools": []}],
        "text": {"verbosity": "low"},
        "temperature": 0.5,
        "metadata": {"big": "\u2028"},
        "input": "not said",
        "store": False,
    }
    encoder = new_encoder(body=asked)
    response = check_response_stream(b"".join(map(encoder.encode, [AnswerStarted(), STOP])) + encoder.end()).response
    assert response["tools"][0] == {
        "type": "function",
        "name": "tide",
        "description": None,
        "parameters": None,
        "strict": None,
    }
    assert response["tools"][1] == asked["tools"][1]
    assert response["text"] == {"verbosity": "low", "format": {"type": "text"}}
    assert (response["instructions"], response["temperature"], response["store"]) == ("Be brief.", 0.5, False)
    assert response["metadata"] == {"big": "\u2028"}
    assert "input" not in response


def test_counts_that_nobody_knows_are_zero() -> None:
    usage = json.loads(encode_usage(None))
    assert (usage["input_tokens"], usage["output_tokens_details"]) == (0, {"reasoning_tokens": 0})


def test_numbers_of_any_size_are_said_again() -> None:
    assert b'"metadata":{"big":123456789012345678901234567890}' in encode_echo(
        {"metadata": {"big": 123456789012345678901234567890}}
    )


def seconds_from(first: int) -> Callable[[], int]:
    """A clock that goes on with each look at it."""
    return iter(range(first, first + 9)).__next__


def test_a_completed_response_has_one_time_of_its_end() -> None:
    response = ResponseObject(ENVELOPE, encode_echo({}), seconds_from(1790000007))
    states = ["queued", "in_progress", "completed", "completed"]
    times = [json.loads(response.encode(ResponseState(state)))["completed_at"] for state in states]
    assert times == [None, None, 1790000007, 1790000007]


def test_a_response_that_is_not_completed_has_no_time_of_its_end() -> None:
    response = ResponseObject(ENVELOPE, encode_echo({}), seconds_from(1790000007))
    states = ["incomplete", "failed", "cancelled"]
    assert [json.loads(response.encode(ResponseState(state)))["completed_at"] for state in states] == [None] * 3


def test_without_a_clock_no_time_is_invented() -> None:
    made = ResponseObject(ENVELOPE, encode_echo({})).encode(ResponseState("completed"))
    assert json.loads(made)["completed_at"] is None
