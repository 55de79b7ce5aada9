"""What the two bodies accept and refuse, field by field. Messages and tools have test files of their own."""

from typing import get_type_hints

import openai.types.chat.completion_create_params as published_chat
import openai.types.completion_create_params as published_completion
import pytest
from pydantic import ValidationError

from oaicompat_proxy.api.openai.schema.requests import CHAT, COMPLETION, MAX_BIASED_TOKENS, ChatBody, CompletionBody
from oaicompat_proxy.api.openai.validation import check
from oaicompat_proxy.core.errors import InvalidRequest

MESSAGES = [{"role": "user", "content": "hi"}]
LOCATION = {"type": "approximate", "approximate": {"city": "Brest"}}


def fault_of(schema, body):
    with pytest.raises(InvalidRequest) as caught:
        check(schema, body)
    return caught.value.param, caught.value.code


@pytest.mark.parametrize(
    ("ours", "published"),
    [
        (ChatBody, published_chat.CompletionCreateParamsStreaming),
        (CompletionBody, published_completion.CompletionCreateParamsStreaming),
    ],
)
def test_every_published_field_is_described(ours, published):
    assert set(get_type_hints(ours)) == set(get_type_hints(published))


@pytest.mark.parametrize("field", sorted(set(get_type_hints(ChatBody)) - {"messages"}))
def test_null_is_as_good_as_absent_in_chat(field):
    check(CHAT, {"messages": MESSAGES, field: None})


@pytest.mark.parametrize("field", sorted(set(get_type_hints(CompletionBody)) - {"prompt"}))
def test_null_is_as_good_as_absent_in_completion(field):
    check(COMPLETION, {"prompt": "hi", field: None})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "owl"),
        ("stream", True),
        ("stream_options", {"include_usage": True, "include_obfuscation": False, "more": 1}),
        ("max_tokens", 5),
        ("max_completion_tokens", 5),
        ("n", 128),
        ("temperature", 0),
        ("temperature", 2),
        ("temperature", 0.5),
        ("top_p", 1),
        ("frequency_penalty", -2),
        ("presence_penalty", 2.0),
        ("logit_bias", {"50256": -100, "1": 0.5}),
        ("logit_bias", {str(token): 1 for token in range(MAX_BIASED_TOKENS)}),
        ("logprobs", True),
        ("top_logprobs", 20),
        ("stop", "x"),
        ("stop", []),
        ("stop", ["a", "b", "c", "d"]),
        ("seed", -(2**63)),
        ("seed", 2**63 - 1),
        ("parallel_tool_calls", False),
        ("response_format", {"type": "text"}),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "a-B_9"}}),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"x": []}, "strict": None}},
        ),
        ("modalities", ["text", "audio"]),
        ("prediction", {"type": "content", "content": "x"}),
        ("prediction", {"type": "content", "content": [{"type": "text", "text": "x"}]}),
        ("web_search_options", {}),
        ("web_search_options", {"search_context_size": "low", "user_location": LOCATION}),
        ("moderation", {"model": "m"}),
        ("store", True),
        ("metadata", {"k" * 64: "v" * 512}),
        ("metadata", {str(key): "" for key in range(16)}),
        ("safety_identifier", "x" * 128),
        ("prompt_cache_key", "x"),
        ("prompt_cache_options", {"mode": "explicit", "ttl": "30m"}),
        ("user", "x"),
        ("top_k", 5),
        ("thinking", {"type": "x"}),
        *(("reasoning_effort", word) for word in ("none", "minimal", "low", "medium")),
        *(("reasoning_effort", word) for word in ("high", "xhigh", "max")),
        *(("verbosity", word) for word in ("low", "medium", "high")),
        *(("service_tier", word) for word in ("auto", "default", "flex", "scale", "priority", "fast")),
        *(("prompt_cache_retention", word) for word in ("in_memory", "24h")),
    ],
)
def test_documented_values_pass(field, value):
    check(CHAT, {"messages": MESSAGES, field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stop", ["a"] * 99),
        ("temperature", 5),
        ("frequency_penalty", -9.5),
        ("presence_penalty", 3),
        ("logit_bias", {"7": 1000}),
        ("max_tokens", -1),
        ("max_completion_tokens", 10**18),
        ("functions", []),
        ("functions", [{"name": "f"}] * 200),
        ("tools", [{"type": "function", "function": {"name": "server.tool/with spaces é" * 8}}]),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "a b." * 30}}),
        ("web_search_options", {"search_context_size": "huge"}),
        ("metadata", {"k" * 100: "v" * 5000, "tags": ["a", {"b": 1}], "trace": None}),
        ("metadata", dict.fromkeys(map(str, range(100)), "x")),
        ("safety_identifier", "x" * 1000),
        ("prompt_cache_options", {"mode": "x", "ttl": "1h"}),
        ("prompt_cache_retention", "7d"),
        ("reasoning_effort", "ultra"),
        ("verbosity", "max"),
        ("service_tier", "on_demand"),
    ],
)
def test_limits_of_openais_own_service_are_no_limits(field, value):
    check(CHAT, {"messages": MESSAGES, field: value})


@pytest.mark.parametrize(
    ("field", "value", "inner", "code"),
    [
        ("model", 5, "", "invalid_type"),
        ("stream", "true", "", "invalid_type"),
        ("stream", 1, "", "invalid_type"),
        ("stream_options", True, "", "invalid_type"),
        ("stream_options", {"include_usage": 1}, ".include_usage", "invalid_type"),
        ("stream_options", {"include_obfuscation": 1}, ".include_obfuscation", "invalid_type"),
        ("max_tokens", "5", "", "invalid_type"),
        ("max_tokens", 5.0, "", "invalid_type"),
        ("max_tokens", True, "", "invalid_type"),
        ("max_completion_tokens", 1.5, "", "invalid_type"),
        ("n", 0, "", "integer_below_min_value"),
        ("temperature", -0.1, "", "decimal_below_min_value"),
        ("temperature", "1", "", "invalid_type"),
        ("top_p", 1.1, "", "decimal_above_max_value"),
        ("top_p", -1, "", "decimal_below_min_value"),
        ("logit_bias", [], "", "invalid_type"),
        ("logit_bias", {"7": "x"}, ".7", "invalid_type"),
        (
            "logit_bias",
            {str(token): 1 for token in range(MAX_BIASED_TOKENS + 1)},
            "",
            "object_above_max_properties",
        ),
        ("logprobs", 1, "", "invalid_type"),
        ("top_logprobs", -1, "", "integer_below_min_value"),
        ("stop", 5, "", "invalid_type"),
        ("stop", ["a", 5], "[1]", "invalid_type"),
        ("seed", 0.5, "", "invalid_type"),
        ("parallel_tool_calls", "yes", "", "invalid_type"),
        ("response_format", "json", "", "invalid_type"),
        ("response_format", {}, ".type", "missing_required_parameter"),
        ("response_format", {"type": "xml"}, ".type", "invalid_value"),
        ("response_format", {"type": "json_schema"}, ".json_schema", "missing_required_parameter"),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {}},
            ".json_schema.name",
            "missing_required_parameter",
        ),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "a", "schema": "x"}},
            ".json_schema.schema",
            "invalid_type",
        ),
        ("modalities", "text", "", "invalid_type"),
        ("audio", "wav", "", "invalid_type"),
        ("prediction", {"content": "x"}, ".type", "missing_required_parameter"),
        ("prediction", {"type": "content", "content": 5}, ".content", "invalid_type"),
        ("prediction", {"type": "content", "content": [{"type": "x"}]}, ".content[0].type", "invalid_value"),
        (
            "web_search_options",
            {"user_location": {"type": "approximate"}},
            ".user_location.approximate",
            "missing_required_parameter",
        ),
        (
            "web_search_options",
            {"user_location": {"type": "approximate", "approximate": {"city": 5}}},
            ".user_location.approximate.city",
            "invalid_type",
        ),
        ("moderation", "m", "", "invalid_type"),
        ("store", "yes", "", "invalid_type"),
        ("metadata", "x", "", "invalid_type"),
        ("metadata", {"session_id": 5}, ".session_id", "invalid_type"),
        ("prompt_cache_key", 5, "", "invalid_type"),
        ("service_tier", ["auto"], "", "invalid_type"),
        ("user", 5, "", "invalid_type"),
        ("messages", [], "", "empty_array"),
        ("messages", "hi", "", "invalid_type"),
        ("messages", None, "", "invalid_type"),
    ],
)
def test_undocumented_values_are_refused_with_their_path(field, value, inner, code):
    assert fault_of(CHAT, {"messages": MESSAGES} | {field: value}) == (field + inner, code)


def test_messages_are_required():
    assert fault_of(CHAT, {"model": "owl"}) == ("messages", "missing_required_parameter")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("prompt", 5, "invalid_type"),
        ("prompt", {}, "invalid_type"),
        ("prompt", [], "empty_array"),
        ("echo", "x", "invalid_type"),
        ("logprobs", True, "invalid_type"),
        ("suffix", 5, "invalid_type"),
    ],
)
def test_completion_fields_are_checked(field, value, code):
    assert fault_of(COMPLETION, {"prompt": "hi"} | {field: value}) == (field, code)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [5] * 1000},
        {"messages": [{"role": "user", "content": [5] * 1000}]},
        {"messages": [{"role": "assistant", "tool_calls": [5] * 1000}]},
        {"messages": MESSAGES, "tools": [5] * 1000},
        {"messages": MESSAGES, "modalities": [5] * 1000},
        {"messages": MESSAGES, "logit_bias": dict.fromkeys(map(str, range(5000)), "x")},
    ],
)
def test_a_long_list_of_bad_items_is_left_at_the_first(body):
    with pytest.raises(ValidationError) as caught:
        CHAT.validate_python(body, strict=True)
    assert caught.value.error_count() == 1
