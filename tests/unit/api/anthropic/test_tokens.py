"""The estimate of a request's tokens."""

import json
from typing import Any

import pytest

from oaicompat_proxy.api.anthropic.tokens import COUNT_TOKENS, TOKENS_OF_A_MESSAGE, TOKENS_OF_MEDIA
from oaicompat_proxy.api.protocol import RouteRequest
from oaicompat_proxy.core.errors import InvalidRequest
from tests.support.message_parts import request


def count(body: bytes) -> int:
    answer = COUNT_TOKENS.answer(RouteRequest({}, {}, body), {})
    assert answer.headers == {"x-oaicompat-estimate": "true"}
    tokens = json.loads(answer.body)
    assert tokens.keys() == {"input_tokens"}
    return int(tokens["input_tokens"])


def asked(content: Any, **fields: Any) -> bytes:
    return request({"role": "user", "content": content}, max_tokens=None, **fields)


def test_it_grows_with_text_tools_and_pictures() -> None:
    assert count(asked("x" * 400)) == 100 + TOKENS_OF_A_MESSAGE
    assert count(asked("", system="x" * 400)) == 100 + 2 * TOKENS_OF_A_MESSAGE
    picture = {"type": "image", "source": {"type": "url", "url": "https://a.example/b"}}
    assert count(asked([picture])) == TOKENS_OF_MEDIA + TOKENS_OF_A_MESSAGE
    assert count(asked("", tools=[{"name": "x", "input_schema": {"a": "x" * 400}}])) > 100


def test_it_needs_no_max_tokens_and_finds_faults() -> None:
    with pytest.raises(InvalidRequest, match="messages: Field required"):
        count(b'{"model": "owl"}')
    with pytest.raises(InvalidRequest, match="could not parse"):
        count(b"{")
