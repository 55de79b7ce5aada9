"""Which Responses requests count as retries of each other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.api.copilot_retries import COPILOT_ONLY
from oaicompat_proxy.api.openai.chat.api import CHAT
from oaicompat_proxy.api.openai.completions.api import COMPLETIONS
from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.api.openai.responses.request.retries import read_retry_key
from oaicompat_proxy.api.retry_rules import RetryKey

TURN = {"turn_id": "t-1", "x-codex-attempt": "1"}
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
HALF = {
    "type": "message",
    "role": "assistant",
    "status": "incomplete",
    "content": [{"type": "output_text", "text": "Let me"}],
}
REASONING = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
OWN_CALL = {"type": "mcp_call", "id": "mcp_1", "name": "search", "server_label": "owl", "arguments": "{}"}
CALL = {"type": "function_call", "call_id": "c", "name": "ls", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "a.txt"}


def key(given: Any = "Hi", *, max_values: int = 1000, **fields: Any) -> RetryKey | None:
    body = {"model": "owl", "input": given, "stream": True, "client_metadata": TURN, **fields}
    return read_retry_key(json.dumps(body).encode(), {}, max_values)


@pytest.mark.parametrize(
    "half",
    [[], [HALF], [REASONING, HALF], [REASONING, OWN_CALL, HALF], [{"role": "assistant", "content": "Let"}]],
    ids=lambda half: f"{len(half)} items",
)
@pytest.mark.parametrize("given", [[USER], [USER, HALF, USER], [USER, CALL, OUTPUT]], ids=["first", "second", "tools"])
def test_items_of_a_half_answer_make_no_difference(given: list[Any], half: list[Any]) -> None:
    assert key(given) is not None
    assert key([*given, *half]) == key(given)


@pytest.mark.parametrize(
    "more",
    [[CALL, OUTPUT], [HALF, CALL, OUTPUT], [CALL], [USER], [HALF, USER], [{"role": "developer", "content": "Go on"}]],
    ids=["output", "text and output", "call", "user", "text and user", "developer"],
)
def test_the_next_request_of_a_turn_is_no_retry(more: list[Any]) -> None:
    assert key([USER, *more]) not in (None, key([USER]))


@pytest.mark.parametrize(
    "fields",
    [
        {"client_metadata": {"turn_id": "t-2"}},
        {"model": "ant"},
        {"stream": False},
        {"instructions": "Be brief."},
        {"previous_response_id": "resp_1"},
        {"tools": [{"type": "function", "name": "ls"}]},
    ],
    ids=lambda fields: "".join(fields),
)
def test_another_request_of_a_turn_is_no_retry(fields: dict[str, Any]) -> None:
    assert key(**fields) not in (None, key())


def test_the_order_of_members_and_other_metadata_make_no_difference() -> None:
    body = {
        "client_metadata": {"x-codex-attempt": "2", "turn_id": "t-1"},
        "stream": True,
        "input": "Hi",
        "model": "owl",
    }
    assert read_retry_key(json.dumps(body, indent=1).encode(), {}, 1000) == key()


def test_large_integers_do_not_hide_a_retry() -> None:
    first, again = ({"a": 10**30, "b": 1}, {"b": 1, "a": 10**30})
    assert key(metadata=first) == key(metadata=again) != key(metadata={"a": 10**29, "b": 1})


@pytest.mark.parametrize(
    "metadata", [None, {}, "turn_id", ["turn_id"], {"turn_id": ""}, {"turn_id": 7}, {"other": {"turn_id": "t-1"}}]
)
def test_without_a_turn_id_there_is_no_key(metadata: Any) -> None:
    assert key(client_metadata=metadata) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b'{"turn_id"', b'["turn_id"]', b'"turn_id"', b'{"client_metadata":{"turn_id":"t","a":NaN}}'],
)
def test_a_body_that_is_refused_has_no_key(body: bytes) -> None:
    assert read_retry_key(body, {}, 1000) is None


def test_what_the_parser_refuses_has_no_key() -> None:
    assert key(["x"] * 1000, max_values=100) is None


@pytest.mark.parametrize(("depth", "refused"), [(100, False), (300, True), (100_000, True)])
def test_deep_nesting_raises_nothing(depth: int, refused: bool) -> None:
    body = b'{"client_metadata":{"turn_id":"t"},"input":%b%b,"n":%b}' % (b"[" * depth, b"]" * depth, b"9" * 30)
    assert (read_retry_key(body, {}, 1_000_000) is None) == refused


@pytest.mark.parametrize("given", [None, 7, {}, [None], [7], ["x"], [{}]])
def test_a_faulty_input_raises_nothing(given: Any) -> None:
    assert key(given) is not None


def test_only_this_api_has_such_requests() -> None:
    assert RESPONSES.retries.read_key is read_retry_key
    assert CHAT.retries is COMPLETIONS.retries is COPILOT_ONLY
