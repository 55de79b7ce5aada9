"""What a request says about the format of its answer, in both of OpenAI's APIs that have one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.api.openai.chat.api import CHAT
from oaicompat_proxy.api.openai.completions.api import COMPLETIONS
from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.core.request import AnswerFormat, RequestLimits

LIMITS = RequestLimits(1024, 10)
SCHEMA = {"type": "object"}


def chat(wanted: Any) -> AnswerFormat | None:
    body = {"model": "owl", "messages": [{"role": "user", "content": "Hi"}], "response_format": wanted}
    return CHAT.format_of(CHAT.build_request(CHAT.read(json.dumps(body).encode(), LIMITS), LIMITS))


def response(wanted: Any) -> AnswerFormat | None:
    body = {"model": "owl", "input": "Hi", "text": wanted}
    return RESPONSES.format_of(RESPONSES.build_request(RESPONSES.read(json.dumps(body).encode(), LIMITS), LIMITS))


def test_a_schema_is_found_with_its_place() -> None:
    named = {"name": "tide", "schema": SCHEMA}
    prefix = "Invalid schema for 'tide': "
    found = AnswerFormat(SCHEMA, "response_format.json_schema.schema", prefix)
    assert chat({"type": "json_schema", "json_schema": named}) == found
    assert response({"format": {"type": "json_schema", **named}}) == AnswerFormat(SCHEMA, "text.format.schema", prefix)


def test_a_format_without_a_schema_is_any_json() -> None:
    found = chat({"type": "json_schema", "json_schema": {"name": "tide"}})
    assert found is not None
    assert found.schema is True


def test_any_object() -> None:
    for found in (chat({"type": "json_object"}), response({"format": {"type": "json_object"}})):
        assert found is not None
        assert found.schema is None


@pytest.mark.parametrize("wanted", [None, {"type": "text"}])
def test_text_is_no_format(wanted: Any) -> None:
    assert chat(wanted) is None
    assert response({"format": wanted}) is None
    assert response(None) is None


def test_the_older_completions_have_none() -> None:
    body = json.dumps({"model": "owl", "prompt": "Hi", "response_format": {"type": "json_object"}}).encode()
    assert COMPLETIONS.format_of(COMPLETIONS.build_request(COMPLETIONS.read(body, LIMITS), LIMITS)) is None
