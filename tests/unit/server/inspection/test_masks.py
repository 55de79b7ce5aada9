"""A masked request keeps its form, and none of its words."""

from __future__ import annotations

import json

from oaicompat_proxy.server.inspection.masks import mask_headers, mask_request

REQUEST = {
    "model": "demo",
    "stream": True,
    "temperature": 0.5,
    "messages": [
        {"role": "system", "content": "SECRET one"},
        {"role": "user", "name": "SECRET", "content": [{"type": "text", "text": "SECRET two"}]},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"SECRET":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "SECRET"},
    ],
    "tools": [{"type": "function", "function": {"name": "add", "description": "SECRET", "parameters": {"SECRET": 1}}}],
    "metadata": {"SECRET": "SECRET"},
    "user": "SECRET",
}


def test_words_are_gone_and_the_form_stays() -> None:
    masked = mask_request(json.dumps(REQUEST).encode())
    assert b"SECRET" not in masked
    read = json.loads(masked)
    assert (read["model"], read["stream"], read["temperature"]) == ("demo", True, 0.5)
    assert [each["role"] for each in read["messages"]] == ["system", "user", "assistant", "tool"]
    assert read["messages"][2]["tool_calls"][0]["function"]["name"] == "add"
    assert read["tools"][0]["function"]["name"] == "add"


def test_a_body_that_is_no_json_is_masked_too() -> None:
    assert mask_request(b"SECRET words") == b"xxxxxx xxxxx"


def test_a_turn_of_a_gateway_keeps_its_form() -> None:
    turn = {"sessionId": "demo:SECRET", "message": {"role": "user", "content": [{"type": "text", "text": "SECRET"}]}}
    masked = mask_request(json.dumps(turn).encode())
    assert b"SECRET" not in masked
    assert b'"role": "user"' in masked


def test_headers_that_name_a_session_are_masked() -> None:
    masked = mask_headers({"User-Agent": "curl", "X-Session-Id": "SECRET", "Idempotency-Key": "SECRET"})
    assert dict(masked) == {"User-Agent": "curl", "X-Session-Id": "xxxxxx", "Idempotency-Key": "xxxxxx"}
