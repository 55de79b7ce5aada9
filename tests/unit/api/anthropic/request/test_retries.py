"""Which Messages requests count as retries of each other."""

from typing import Any

import pytest
from multidict import CIMultiDict

from oaicompat_proxy.api.anthropic.request.retries import read_retry_key
from oaicompat_proxy.api.retry_rules import RetryKey
from tests.support.message_parts import request

SESSION = {"x-claude-code-session-id": "s-1"}


def key(headers: dict[str, str] = SESSION, **fields: Any) -> RetryKey | None:
    return read_retry_key(request(**fields), CIMultiDict(headers), 1000)


def test_within_a_session_only_stream_makes_no_difference() -> None:
    streamed, whole = key(stream=True), key()
    assert streamed is not None
    assert whole is not None
    assert streamed.content == whole.content
    assert (streamed.stream, whole.stream) == (True, False)
    assert key(system="x") != whole


@pytest.mark.parametrize("headers", [{"x-claude-code-session-id": "s-2"}, {**SESSION, "x-claude-code-agent-id": "a"}])
def test_another_session_or_agent_is_another_request(headers: dict[str, str]) -> None:
    other, mine = key(headers), key()
    assert other is not None
    assert mine is not None
    assert other.content != mine.content


def test_the_order_of_members_makes_no_difference() -> None:
    one, other = (
        read_retry_key(body, CIMultiDict(SESSION), 100)
        for body in (b'{"model":"owl","max_tokens":1}', b'{"max_tokens": 1, "model": "owl"}')
    )
    assert one == other


def test_the_session_may_stand_in_the_body() -> None:
    found = key({}, metadata={"user_id": '{"session_id": "s-1"}'})
    assert found is not None
    assert not found.failures_only


def test_without_a_session_only_failures_count() -> None:
    assert key({}) == RetryKey(request(), failures_only=True)
    assert key({}, metadata={"user_id": "my session_id"}) == RetryKey(
        request(metadata={"user_id": "my session_id"}), failures_only=True
    )


def test_what_cannot_be_read_has_no_key() -> None:
    assert read_retry_key(b"{", CIMultiDict(SESSION), 1000) is None
    assert read_retry_key(request(), CIMultiDict(SESSION), 3) is None
