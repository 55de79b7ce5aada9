import copy
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oaicompat_proxy.api.openai.chat import request
from oaicompat_proxy.api.openai.chat.tools import TOOL_PARAMETERS
from oaicompat_proxy.api.openai.custom_tools import FREE_TEXT
from oaicompat_proxy.api.protocol import ParsedBody
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.message import Media, Message, Text, Tool, ToolCall
from oaicompat_proxy.core.request import AgentRequest, RequestLimits
from tests.support.examples import examples
from tests.support.parsing import parse_chat

USER = {"role": "user", "content": "hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "tide", "arguments": '{"port":'}}
CUSTOM_CALL = {"id": "b", "type": "custom", "custom": {"name": "poem", "input": "owls"}}
TOOL = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
CUSTOM_TOOL = {"type": "custom", "custom": {"name": "poem"}}
LEGACY_CALL = {"name": "tide", "arguments": "{}"}
EMPTY = [{}, {"content": None}, {"content": ""}, {"content": []}]


def parse(body: Any, max_media: int = 1000, max_messages: int = 100) -> AgentRequest:
    return parse_chat(orjson.dumps(body), max_media=max_media, max_messages=max_messages)


def chat(**fields: Any) -> AgentRequest:
    return parse({"messages": [USER], **fields})


def fault_of(body, **limits):
    with pytest.raises(InvalidRequest) as caught:
        parse(body, **limits)
    return caught.value.param, caught.value.code


def message_of(*messages) -> Message:
    """The last of `messages`, parsed."""
    return parse({"messages": list(messages)}).messages[-1]


def test_minimal_request():
    assert chat() == AgentRequest(
        model="",
        messages=(Message("user", (Text("hi"),)),),
        stream=False,
        tool_names=frozenset(),
        parameters={},
        metadata_key="openai",
        tool_parameters=TOOL_PARAMETERS,
        form={"include_usage": False, "legacy_functions": False, "custom_tools": []},
    )


def test_full_request():
    passed_on = {
        "temperature": 0,
        "tools": [TOOL, CUSTOM_TOOL],
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
        "stop": [],
        "user": "u",
        "metadata": {"a": "b"},
        "store": True,
        "prediction": {"type": "content", "content": "x"},
        "web_search_options": {},
        "parallel_tool_calls": False,
        "top_k": 5,
        "provider": {"order": ["x"]},
    }
    used = {
        "model": "owl",
        "messages": [{"role": "developer", "content": "be brief"}, USER],
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    }
    fulfilled = {
        "n": 1,
        "logprobs": False,
        "top_logprobs": 0,
        "modalities": ["text"],
        "seed": None,
        "think": None,
    }
    assert parse(passed_on | used | fulfilled) == AgentRequest(
        model="owl",
        messages=(Message("system", (Text("be brief"),)), Message("user", (Text("hi"),))),
        stream=True,
        tool_names=frozenset({"tide", "poem"}),
        parameters=passed_on,
        metadata_key="openai",
        tools=(Tool("tide", "", {"type": "object"}), Tool("poem", "", FREE_TEXT)),
        tool_parameters=TOOL_PARAMETERS,
        form={"include_usage": True, "legacy_functions": False, "custom_tools": ["poem"]},
    )


@pytest.mark.parametrize("value", [None, ""])
def test_model_may_be_left_to_the_proxy(value):
    assert chat(model=value).model == ""


@pytest.mark.parametrize(
    ("fields", "names", "legacy"),
    [
        ({"tools": [TOOL]}, {"tide"}, False),
        ({"tools": [TOOL], "tool_choice": "none"}, set(), False),
        ({"functions": [{"name": "moon"}]}, {"moon"}, True),
        ({"functions": [{"name": "moon"}], "function_call": "none"}, set(), True),
        ({"functions": None}, set(), False),
    ],
)
def test_tools_of_the_client(fields, names, legacy):
    parsed = chat(**fields)
    assert (parsed.tool_names, parsed.form["legacy_functions"]) == (names, legacy)
    assert parsed.parameters == {key: value for key, value in fields.items() if value is not None}


def test_an_empty_list_of_tools_counts_as_none():
    assert chat(tools=[]).parameters == {}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (USER, Message("user", (Text("hi"),))),
        ({"role": "user", "content": "", "name": "Ann"}, Message("user", (Text(""),), "Ann")),
        ({"role": "user", "content": "hi", "tool_call_id": 5}, Message("user", (Text("hi"),))),
        ({"role": "user", "content": "hi", "tool_calls": 5}, Message("user", (Text("hi"),))),
        ({"role": "system", "content": "s", "name": "n"}, Message("system", (Text("s"),), "n")),
        ({"role": "system", "content": "s", "name": ""}, Message("system", (Text("s"),))),
        ({"role": "user", "content": "u", "name": ""}, Message("user", (Text("u"),))),
        ({"role": "assistant", "content": "a", "name": ""}, Message("assistant", (Text("a"),))),
        ({"role": "developer", "content": "s"}, Message("system", (Text("s"),))),
        (
            {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            Message("system", (Text("a"), Text("b"))),
        ),
        ({"role": "assistant", "content": "x", "name": "n"}, Message("assistant", (Text("x"),), "n")),
        ({"role": "assistant", "content": None}, Message("assistant", ())),
        ({"role": "assistant", "refusal": "no"}, Message("assistant", (Text("no"),))),
        (
            {"role": "assistant", "content": "x", "refusal": "no"},
            Message("assistant", (Text("x"), Text("no"))),
        ),
        ({"role": "assistant", "content": "x", "refusal": ""}, Message("assistant", (Text("x"),))),
        (
            {
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": "no"}, {"type": "text", "text": "x"}],
            },
            Message("assistant", (Text("no"), Text("x"))),
        ),
        (
            {"role": "assistant", "function_call": LEGACY_CALL},
            Message("assistant", (), tool_calls=(ToolCall("", "tide", "{}"),)),
        ),
        ({"role": "function", "content": "r", "name": "tide"}, Message("tool", (Text("r"),), "tide")),
        ({"role": "function", "content": None, "name": "tide"}, Message("tool", (), "tide")),
        ({"role": "function", "name": "tide"}, Message("tool", (), "tide")),
        *(({"role": "system", **content}, Message("system", ())) for content in EMPTY),
        *(({"role": "assistant", **content}, Message("assistant", ())) for content in EMPTY),
        (
            {"role": "assistant", "function_call": {"name": "tide"}},
            Message("assistant", (), tool_calls=(ToolCall("", "tide", ""),)),
        ),
    ],
)
def test_messages(message, expected):
    assert message_of(message) == expected


def test_calls_and_results():
    calling = {"role": "assistant", "content": None, "tool_calls": [CALL, CUSTOM_CALL]}
    results = [
        {"role": "tool", "content": "high", "tool_call_id": "a", "name": "ignored"},
        {"role": "tool", "content": [{"type": "text", "text": "ode"}], "tool_call_id": "b"},
    ]
    calls = (ToolCall("a", "tide", '{"port":'), ToolCall("b", "poem", '{"input":"owls"}'))
    assert parse({"messages": [USER, calling, *results]}).messages[1:] == (
        Message("assistant", (), tool_calls=calls),
        Message("tool", (Text("high"),), tool_call_id="a"),
        Message("tool", (Text("ode"),), tool_call_id="b"),
    )


@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": ""}, {"content": []}])
def test_a_result_and_arguments_that_are_empty_may_be_left_out(content):
    calls = [{"id": "a", "type": "function", "function": {"name": "tide"}}]
    messages = [USER, {"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "a", **content}]
    assert parse({"messages": messages}).messages[1:] == (
        Message("assistant", (), tool_calls=(ToolCall("a", "tide", ""),)),
        Message("tool", (), tool_call_id="a"),
    )


def test_a_result_may_hold_pictures_and_files():
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,QQ==", "filename": "a.txt"}},
    ]
    messages = [USER, {"role": "assistant", "tool_calls": [CALL]}]
    assert parse({"messages": [*messages, {"role": "tool", "tool_call_id": "a", "content": parts}]}).messages[2] == (
        Message(
            "tool",
            (
                Text("see"),
                Media(kind="image", data="QQ==", mime_type="image/png"),
                Media(kind="document", data="QQ==", mime_type="text/plain", name="a.txt"),
            ),
            tool_call_id="a",
        )
    )


@pytest.mark.parametrize(
    ("form", "mime_type"), [("wav", "audio/wav"), ("flac", "audio/flac"), ("m4a", "audio/mp4"), ("pcm16", "audio/L16")]
)
def test_a_sound_may_be_of_any_format(form, mime_type):
    part = {"type": "input_audio", "input_audio": {"data": "QQ==", "format": form}}
    assert message_of({"role": "user", "content": [part]}).blocks == (
        Media(kind="audio", data="QQ==", mime_type=mime_type),
    )


def test_content_parts_keep_their_order():
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "high"}},
        {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "text", "text": "and hear"},
    ]
    assert message_of({"role": "user", "content": parts}).blocks == (
        Text("see"),
        Media(kind="image", url="https://example.org/a.png"),
        Media(kind="audio", data="QQ==", mime_type="audio/mpeg"),
        Media(kind="document", file_id="f"),
        Text("and hear"),
    )


def test_what_client_libraries_echo_is_tolerated():
    echo = {
        "annotations": [5],
        "audio": "x",
        "reasoning_content": {},
        "reasoning": None,
        "reasoning_details": 5,
        "refusal": None,
        "function_call": None,
        "tool_calls": None,
    }
    echoed = message_of({"role": "assistant", "content": "x"} | echo)
    assert echoed == Message("assistant", (Text("x"),))


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "messages", "missing_required_parameter"),
        ({"messages": [{"role": "boss"}]}, "messages[0].role", "invalid_value"),
        (
            {
                "messages": [
                    USER,
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
                ]
            },
            "messages[1].content[0].image_url.url",
            "invalid_value",
        ),
        ({"messages": [USER], "n": 2}, "n", "unsupported_value"),
        ({"messages": [USER], "stream_options": {}}, "stream_options", None),
        ({"messages": [USER], "tool_choice": "required"}, "tool_choice", "invalid_value"),
        (
            {"messages": [USER], "tools": [TOOL], "functions": [{"name": "f"}]},
            "functions",
            "invalid_parameter_combination",
        ),
        ({"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}]}, "messages.[1].role", None),
        (
            {"messages": [USER, {"role": "tool", "content": "r", "tool_call_id": "a"}]},
            "messages.[1].role",
            None,
        ),
    ],
)
def test_faults_name_the_field(body, param, code):
    assert fault_of(body) == (param, code)


def test_number_of_messages_is_bounded_exactly():
    assert parse({"messages": [USER] * 3}, max_messages=3)
    assert fault_of({"messages": [USER] * 4}, max_messages=3) == ("messages", "array_above_max_length")


def test_media_of_all_messages_are_bounded_together():
    audio = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
    body = {"messages": [{"role": "user", "content": [audio]}] * 2}
    assert parse(body, max_media=6)
    assert fault_of(body, max_media=5) == (
        "messages[1].content[0].input_audio.data",
        "media_above_max_size",
    )


# Whatever the bytes: a request or an InvalidRequest.

TEXTS = st.text("aé😀|[]\x00 ", max_size=4) | st.sampled_from(
    [
        "user",
        "tool",
        "assistant",
        "text",
        "function",
        "none",
        "a",
        "data:,x",
        "data:;base64,Q",
        "|user",
        "[key]",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
VALID: list[dict[str, Any]] = [
    {"model": "m", "messages": [USER], "stream": True, "stream_options": {"include_usage": True}},
    {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s"}], "name": "n"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "t"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"},
                    },
                    {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "QQ==", "filename": "f"}},
                ],
            },
            {"role": "assistant", "content": None, "refusal": "no", "tool_calls": [CALL, CUSTOM_CALL]},
            {"role": "tool", "content": "r", "tool_call_id": "a"},
            {"role": "tool", "content": [{"type": "text", "text": "r"}], "tool_call_id": "b"},
            {"role": "assistant", "content": None, "function_call": LEGACY_CALL},
            {"role": "function", "content": "r", "name": "tide"},
        ],
        "tools": [TOOL, CUSTOM_TOOL],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
        "stop": ["x"],
        "metadata": {"a": "b"},
        "logit_bias": {"1": 2},
        "modalities": ["text"],
        "web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": "c"}}},
    },
    {
        "messages": [USER],
        "functions": [{"name": "tide"}],
        "function_call": {"name": "tide"},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "prediction": {"type": "content", "content": [{"type": "text", "text": "t"}]},
        "n": 1,
        "temperature": 1,
        "reasoning_effort": "low",
    },
]


def places(value, path=()):
    """The paths of all values inside `value`."""
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from places(item, (*path, key))


@st.composite
def mutated(draw):
    """A valid request of which one or two values are replaced, taken away or moved to the end."""
    body = copy.deepcopy(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 2))):
        *path, key = draw(st.sampled_from([*places(body)] or [("messages",)]))
        parent = body
        for step in path:
            parent = parent[step]
        old = parent.pop(key, None) if isinstance(parent, dict) else parent.pop(key)
        if draw(st.booleans()):
            new = draw(VALUES | st.just(old))
            parent.update({key: new}) if isinstance(parent, dict) else parent.insert(key, new)
    return body


def parses_or_is_refused(body: bytes) -> None:
    try:
        parsed = parse_chat(body, max_media=1000, max_messages=10)
    except InvalidRequest:
        return
    assert all(type(message) is Message for message in parsed.messages)
    assert orjson.dumps(parsed.parameters)


QUICKLY = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("body", VALID)
def test_the_fuzz_begins_with_valid_requests(body):
    assert parse(body)


@examples(1500, QUICKLY)
@given(mutated())
def test_fuzz_mutated_requests(body):
    parses_or_is_refused(orjson.dumps(body))


@examples(300, QUICKLY)
@given(st.dictionaries(st.sampled_from(sorted({key for body in VALID for key in body})), VALUES) | VALUES)
def test_fuzz_arbitrary_json(body):
    parses_or_is_refused(orjson.dumps(body))


@examples(300, QUICKLY)
@given(st.sampled_from(VALID).map(orjson.dumps), st.data())
def test_fuzz_damaged_bytes(body, data):
    start = data.draw(st.integers(0, len(body)))
    stop = data.draw(st.integers(start, min(start + 8, len(body))))
    parses_or_is_refused(body[:start] + data.draw(st.binary(max_size=8)) + body[stop:])


LIMITS = RequestLimits(media=1000, messages=100, parts=3, tools=2, text=200)


def limited(**body: Any) -> AgentRequest:
    body = {"messages": [USER], **body}
    return request.build_request(ParsedBody(body, {}, len(orjson.dumps(body))), LIMITS)


def excess(**body: Any) -> tuple[str | None, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        limited(**body)
    assert caught.value.status == 400
    return caught.value.param, caught.value.code


def test_content_parts_of_all_messages_are_counted_together() -> None:
    part = {"type": "text", "text": "a"}
    messages = [{"role": "user", "content": [part, part]}, {"role": "user", "content": [part]}]
    assert len(limited(messages=messages).messages) == 2
    messages[1]["content"] = [part, part]
    assert excess(messages=messages) == ("messages", "array_above_max_length")


def test_tool_calls_are_counted_first_with_the_parts() -> None:
    calls = [{}] * 4
    messages = [USER, {"role": "assistant", "content": None, "tool_calls": calls}]
    assert excess(messages=messages) == ("messages", "array_above_max_length")


def test_tools_are_counted() -> None:
    tool = {"type": "function", "function": {"name": "a"}}
    assert limited(tools=[tool, tool])
    assert excess(tools=[tool, tool, tool]) == ("tools", "array_above_max_length")


def test_text_is_bounded_and_pictures_are_no_text() -> None:
    url = "data:image/png;base64," + "QUJD" * 100
    picture = [{"type": "image_url", "image_url": {"url": url}}]
    assert limited(messages=[{"role": "user", "content": picture}])
    assert excess(messages=[{"role": "user", "content": "a" * 200}]) == ("messages", "string_above_max_length")


@pytest.mark.parametrize("value", [None, 5, "text", {}, [], [5], [[]], [{"content": 5, "tool_calls": "x"}]])
def test_what_is_counted_may_be_of_any_type(value: Any) -> None:
    with pytest.raises(InvalidRequest):
        limited(messages=value, tools=5)
