"""What of a request decides the form of its answer; the rest is tested with conversation, tools and validation."""

from typing import Any

import pytest

from oaicompat_proxy.api.anthropic.request.request import build_request, read
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.request import RequestLimits
from tests.support.message_parts import request
from tests.support.parsing import parse_messages


@pytest.mark.parametrize(
    ("thinking", "shown"),
    [
        *((None, True), ({"type": "adaptive"}, True), ({"type": "enabled", "budget_tokens": 2000}, True)),
        *(({"type": "disabled"}, False), ({"type": "adaptive", "display": "omitted"}, False)),
    ],
)
def test_thinking_is_shown_unless_the_client_wants_none(thinking: Any, shown: bool) -> None:
    assert parse_messages(request(thinking=thinking), max_media=0, max_messages=9).form == {"thinking": shown}


def test_a_long_text_is_refused() -> None:
    limits = RequestLimits(0, 9, text=1000)
    with pytest.raises(InvalidRequest, match="this server takes at most 1000"):
        build_request(read(request({"role": "user", "content": "x" * 1000}), limits), limits)


def test_numbers_that_no_value_holds_are_passed_on_as_written() -> None:
    body = request(seed=1).replace(b'"seed": 1', b'"seed": 123456789012345678901234567890')
    assert parse_messages(body, max_media=0, max_messages=9).exact["seed"].text == "123456789012345678901234567890"
