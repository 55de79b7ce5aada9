import pytest

from oaicompat_proxy.api.openai.schema.requests import CHAT
from oaicompat_proxy.api.openai.validation import check
from oaicompat_proxy.core.errors import InvalidRequest

TEXT = {"type": "text", "text": "hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "u"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}
FILE = {"type": "file", "file": {}}
REFUSAL = {"type": "refusal", "refusal": "no"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "no JSON"}}
CUSTOM_CALL = {"id": "b", "type": "custom", "custom": {"name": "f", "input": "x"}}
BREAKPOINT = {"prompt_cache_breakpoint": {"mode": 5}}


def image(**fields):
    return {"type": "image_url", "image_url": fields}


EMPTY = [{}, {"content": None}, {"content": ""}, {"content": []}]
"""What clients send where there is nothing to say."""

NO_ARGUMENTS = [{}, {"arguments": None}, {"arguments": ""}]


def user(*parts):
    return {"role": "user", "content": list(parts)}


def assistant(**fields):
    return {"role": "assistant", **fields}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "hi"},
        {"role": "system", "content": [TEXT], "name": "n"},
        {"role": "developer", "content": [TEXT | BREAKPOINT], "name": None},
        {"role": "user", "content": ""},
        {"role": "user", "content": "hi", "unknown": {"deep": []}},
        user(TEXT, IMAGE, AUDIO, FILE),
        user(TEXT | BREAKPOINT | {"unknown": 1}),
        *(user(image(url="u", detail=detail)) for detail in ("auto", "low", "high", "original", None)),
        user({"type": "file", "file": {"file_data": None, "file_id": "f", "filename": None}}),
        assistant(),
        assistant(content=None),
        assistant(content="hi"),
        assistant(content=[]),
        assistant(content=[TEXT, REFUSAL]),
        assistant(content=None, tool_calls=[CALL, CUSTOM_CALL]),
        assistant(tool_calls=None, function_call=None, refusal=None, audio=None),
        assistant(tool_calls=[]),
        assistant(refusal="no"),
        assistant(function_call={"name": "f", "arguments": "{}"}),
        assistant(annotations=5, audio="x", reasoning_content=[], reasoning={}, reasoning_details=True),
        {"role": "tool", "content": "r", "tool_call_id": "a"},
        {"role": "tool", "content": [], "tool_call_id": "a", "name": 5},
        {"role": "tool", "content": [TEXT], "tool_call_id": ""},
        {"role": "function", "content": None, "name": "f"},
        {"role": "function", "content": "r", "name": "f"},
        {"role": "function", "name": "f"},
        *({"role": role, **content} for role in ("system", "developer") for content in EMPTY),
        *({"role": "tool", "tool_call_id": "a", **content} for content in EMPTY),
        {"role": "tool", "tool_call_id": "a", "content": [TEXT, IMAGE, AUDIO, FILE]},
        *(assistant(tool_calls=[CALL | {"function": {"name": "f", **empty}}]) for empty in NO_ARGUMENTS),
        *(assistant(function_call={"name": "f", **empty}) for empty in NO_ARGUMENTS),
        assistant(tool_calls=[CUSTOM_CALL | {"custom": {"name": "f"}}]),
        user({"type": "input_audio", "input_audio": {"data": "QQ==", "format": "ogg"}}),
        user(image(url="u", detail="max")),
    ],
)
def test_documented_and_echoed_messages_pass(message):
    check(CHAT, {"messages": [message]})


@pytest.mark.parametrize(
    ("message", "inner", "code"),
    [
        (5, "", "invalid_type"),
        (None, "", "invalid_type"),
        ([], "", "invalid_type"),
        ({}, ".role", "missing_required_parameter"),
        ({"content": "hi"}, ".role", "missing_required_parameter"),
        ({"role": None}, ".role", "invalid_type"),
        ({"role": 5}, ".role", "invalid_type"),
        ({"role": ["user"]}, ".role", "invalid_type"),
        ({"role": "boss"}, ".role", "invalid_value"),
        ({"role": "User"}, ".role", "invalid_value"),
        ({"role": "system", "content": 5}, ".content", "invalid_type"),
        ({"role": "system", "content": [IMAGE]}, ".content[0].type", "invalid_value"),
        ({"role": "user"}, ".content", "missing_required_parameter"),
        ({"role": "user", "content": None}, ".content", "invalid_type"),
        ({"role": "user", "content": 5}, ".content", "invalid_type"),
        ({"role": "user", "content": {}}, ".content", "invalid_type"),
        ({"role": "user", "content": "hi", "name": 5}, ".name", "invalid_type"),
        (user(), ".content", "empty_array"),
        (user("hi"), ".content[0]", "invalid_type"),
        (user({}), ".content[0].type", "missing_required_parameter"),
        (user(TEXT, {"type": "video"}), ".content[1].type", "invalid_value"),
        (user(REFUSAL), ".content[0].type", "invalid_value"),
        (user({"type": "text"}), ".content[0].text", "missing_required_parameter"),
        (user({"type": "text", "text": None}), ".content[0].text", "invalid_type"),
        (user({"type": "image_url"}), ".content[0].image_url", "missing_required_parameter"),
        (user({"type": "image_url", "image_url": "u"}), ".content[0].image_url", "invalid_type"),
        (user(image()), ".content[0].image_url.url", "missing_required_parameter"),
        (user(image(url=5)), ".content[0].image_url.url", "invalid_type"),
        (user(image(url="u", detail=5)), ".content[0].image_url.detail", "invalid_type"),
        (
            user({"type": "input_audio", "input_audio": {"data": "x", "format": "o g"}}),
            ".content[0].input_audio.format",
            "invalid_value",
        ),
        (
            user({"type": "input_audio", "input_audio": {"format": "wav"}}),
            ".content[0].input_audio.data",
            "missing_required_parameter",
        ),
        (user({"type": "file"}), ".content[0].file", "missing_required_parameter"),
        (user({"type": "file", "file": {"file_id": 5}}), ".content[0].file.file_id", "invalid_type"),
        (user({"type": "file", "file": {"file_data": 5}}), ".content[0].file.file_data", "invalid_type"),
        (user({"type": "file", "file": {"filename": 5}}), ".content[0].file.filename", "invalid_type"),
        (assistant(content=5), ".content", "invalid_type"),
        (assistant(content=[IMAGE]), ".content[0].type", "invalid_value"),
        (assistant(content=[{"type": "refusal"}]), ".content[0].refusal", "missing_required_parameter"),
        (assistant(refusal=5), ".refusal", "invalid_type"),
        (assistant(tool_calls={}), ".tool_calls", "invalid_type"),
        (assistant(tool_calls=[5]), ".tool_calls[0]", "invalid_type"),
        (assistant(tool_calls=[{"id": "a"}]), ".tool_calls[0].type", "missing_required_parameter"),
        (assistant(tool_calls=[CALL, CALL | {"id": 5}]), ".tool_calls[1].id", "invalid_type"),
        (assistant(tool_calls=[CALL | {"type": "x"}]), ".tool_calls[0].type", "invalid_value"),
        (
            assistant(tool_calls=[CALL | {"function": {"name": "f", "arguments": {}}}]),
            ".tool_calls[0].function.arguments",
            "invalid_type",
        ),
        (
            assistant(tool_calls=[CUSTOM_CALL | {"custom": {"input": "x"}}]),
            ".tool_calls[0].custom.name",
            "missing_required_parameter",
        ),
        (assistant(function_call={"arguments": ""}), ".function_call.name", "missing_required_parameter"),
        ({"role": "tool", "content": "r"}, ".tool_call_id", "missing_required_parameter"),
        ({"role": "tool", "tool_call_id": "a", "content": 5}, ".content", "invalid_type"),
        ({"role": "tool", "content": "r", "tool_call_id": 5}, ".tool_call_id", "invalid_type"),
        ({"role": "tool", "content": [REFUSAL], "tool_call_id": "a"}, ".content[0].type", "invalid_value"),
        ({"role": "function", "content": "r"}, ".name", "missing_required_parameter"),
        ({"role": "function", "content": 5, "name": "f"}, ".content", "invalid_type"),
    ],
)
def test_other_messages_are_refused_with_their_path(message, inner, code):
    with pytest.raises(InvalidRequest) as caught:
        check(CHAT, {"messages": [{"role": "user", "content": "first"}, message]})
    assert (caught.value.param, caught.value.code) == ("messages[1]" + inner, code)
