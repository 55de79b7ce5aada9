import json
from typing import Any

import pytest

from oaicompat_proxy.core.message import Block, Media, Message, Text, ToolCall
from oaicompat_proxy.core.model_info import ModelInfo
from oaicompat_proxy.core.turn import Turn
from oaicompat_proxy.dialects.agentick.requests import (
    build_apps,
    build_close,
    build_confirmation,
    build_empty_send,
    build_invoke_close,
    build_send,
    build_subscribe,
    events_path,
    is_app_id,
    is_unknown_method,
    model_markers,
    parse_apps,
    parse_available,
    parse_send_form,
    reads_all_messages,
    session_key,
)
from oaicompat_proxy.dialects.protocol import App, HttpCall

KEY = "harbor:r1"
WAV = "audio/wav"
TOO_DEEP = '{"a":' * 1010 + "1" + "}" * 1010
"""JSON that can be read but not written again."""

BLOCKS: list[tuple[Block, dict[str, Any]]] = [
    (Text("Hi"), {"type": "text", "text": "Hi"}),
    (
        Media("image", url="https://harbor.example/quay.png"),
        {"type": "image", "source": {"type": "url", "url": "https://harbor.example/quay.png"}},
    ),
    (
        Media("audio", data="QUJD", mime_type="audio/wav"),
        {
            "type": "audio",
            "mimeType": "audio/wav",
            "source": {"type": "base64", "data": "QUJD", "mimeType": "audio/wav"},
        },
    ),
    (
        Media("document", file_id="file-1", name="tides.pdf"),
        {"type": "document", "title": "tides.pdf", "source": {"type": "file_id", "fileId": "file-1"}},
    ),
]


def body_of(call: HttpCall) -> dict[str, Any]:
    return json.loads(call.body)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("block", "native"), BLOCKS)
def test_a_block_is_put_as_the_gateway_reads_it(block: Block, native: dict[str, Any]) -> None:
    message = {"role": "user", "content": [native]}
    call = build_send(KEY, Turn((block,)))
    assert call.path == "/send"
    assert body_of(call) == {"sessionId": KEY, "message": message, "messages": [message]}


def test_what_the_client_said_beside_travels_in_the_metadata() -> None:
    call = build_send(KEY, Turn((Text("Hi"),), {"openai": {"temperature": 0.5}}))
    assert body_of(call)["message"]["metadata"] == {"openai": {"temperature": 0.5}}
    assert body_of(call)["messages"][0]["metadata"] == {"openai": {"temperature": 0.5}}


def test_a_whole_conversation_goes_message_by_message() -> None:
    messages = (
        Message("system", (Text("Be brief."),)),
        Message("assistant", (Text("Look."),), None, (ToolCall("c1", "tide", '{"port":"Brest"}'),)),
        Message("tool", (Text("06:12"),), tool_call_id="c1"),
        Message("user", (Text("Hi"),)),
    )
    body = body_of(build_send(KEY, Turn((Text("Hi"),), {"openai": {}}, messages)))
    tool_use = {"type": "tool_use", "toolUseId": "c1", "name": "tide", "input": {"port": "Brest"}}
    result = {"type": "tool_result", "toolUseId": "c1", "name": "", "content": [{"type": "text", "text": "06:12"}]}
    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Look."}, tool_use]},
        {"role": "tool", "toolCallId": "c1", "content": [result]},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}], "metadata": {"openai": {}}},
    ]
    assert body["message"] == body["messages"][-1]


@pytest.mark.parametrize(
    ("arguments", "native"),
    [
        ("", {}),
        ("{}", {}),
        ('{"a":1}', {"a": 1}),
        ('{"a"', {"raw": '{"a"'}),
        ("[1]", {"raw": "[1]"}),
        ('{"a":NaN}', {"raw": '{"a":NaN}'}),
        ("[" * 100_000, {"raw": "[" * 100_000}),
        (TOO_DEEP, {"raw": TOO_DEEP}),
    ],
)
def test_arguments_that_are_no_object_are_kept_as_they_are(arguments: str, native: dict[str, Any]) -> None:
    """As the gateway itself keeps them: its `input` is an object, and its JSON knows no NaN."""
    turn = Turn((), {}, (Message("assistant", (), tool_calls=(ToolCall("c1", "tide", arguments),)),))
    assert body_of(build_send(KEY, turn))["message"]["content"][0]["input"] == native


def test_bodies_are_ascii_so_that_no_packet_can_cut_a_character() -> None:
    turn = Turn((Text("Grüß \U0001f30a \u2028 \ud83c"),))
    body = build_send(KEY, turn).body
    assert body.isascii()
    assert json.loads(body)["message"]["content"][0]["text"] == "Grüß \U0001f30a \u2028 \ud83c"


CALLS: list[tuple[HttpCall, str, dict[str, Any]]] = [
    (build_close(KEY), "/close", {"sessionId": KEY}),
    (build_invoke_close(KEY), "/invoke", {"method": "close", "params": {"sessionId": KEY}}),
    (build_apps(), "/invoke", {"method": "apps", "params": {}}),
    (
        build_confirmation(KEY, "c1", confirmed=False, reason="no"),
        "/invoke",
        {"method": "tool-confirm", "params": {"sessionId": KEY, "callId": "c1", "confirmed": False, "reason": "no"}},
    ),
    (
        build_confirmation(KEY, "c1", confirmed=True),
        "/invoke",
        {"method": "tool-confirm", "params": {"sessionId": KEY, "callId": "c1", "confirmed": True}},
    ),
    (
        build_subscribe("k1", "n1", KEY),
        "/subscribe",
        {"clientId": "k1", "connectionId": "n1", "sessionId": KEY, "add": [KEY]},
    ),
]


@pytest.mark.parametrize(("call", "path", "body"), CALLS)
def test_a_call(call: HttpCall, path: str, body: dict[str, Any]) -> None:
    assert (call.path, body_of(call)) == (path, body)


def test_where_a_client_listens() -> None:
    assert events_path("k1") == "/events?clientId=k1"


@pytest.mark.parametrize(
    ("name", "expected"), [("harbor", True), ("", False), ("ft:x", False), (":", False), ("a/b c", True)]
)
def test_a_name_that_would_choose_another_app_is_none(name: str, expected: bool) -> None:
    assert is_app_id(name) == expected


@pytest.mark.parametrize(("app", "name", "key"), [("harbor", "r1", "harbor:r1"), ("", "r1", "r1")])
def test_a_session_belongs_to_its_app(app: str, name: str, key: str) -> None:
    assert session_key(app, name) == key


@pytest.mark.parametrize(
    ("body", "apps"),
    [
        (
            b'{"apps":[{"id":"a","isDefault":true},{"id":"b","name":"B"}]}',
            [App("a", True), App("b", info=ModelInfo("B"))],
        ),
        (
            b'{"apps":[{"id":"a","name":"A","description":"Does a.","isDefault":false}]}',
            [App("a", info=ModelInfo("A", "Does a."))],
        ),
        (b'{"apps":[{"id":"a","name":7,"description":null}]}', [App("a")]),
        (b'{"apps":[]}', []),
        (b'{"apps":[{"id":"a","isDefault":"true"}]}', [App("a")]),
        (b'{"error":"Unknown method: apps"}', None),
        (b'{"apps":[{"name":"B"}]}', None),
        (b'{"apps":["a"]}', None),
        (b'{"apps":null}', None),
        (b'{"apps":7}', None),
        (b"[]", None),
        (b"7", None),
        (b"", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_the_gateways_apps(body: bytes, apps: list[App] | None) -> None:
    assert parse_apps(body) == apps


@pytest.mark.parametrize(
    ("message", "apps"),
    [
        ('Unknown app "x". Available: a, b', [App("a"), App("b")]),
        ('Unknown app "x". Available: a', [App("a")]),
        ('Unknown app "x". Available: ', []),
        ('Unknown app "a"b". Available: c', [App("c")]),
        ("Unknown app", None),
        ("It broke.", None),
        ("", None),
    ],
)
def test_the_apps_named_in_a_refusal(message: str, apps: list[App] | None) -> None:
    assert parse_available(message) == apps


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"error":"Unknown method: close"}', True),
        (404, b'{"error":"unknown method","code":"x"}', True),
        (501, b"", True),
        (405, b"", True),
        (404, b'{"error":"Not found"}', True),
        (404, b'{"error":"Session not found"}', False),
        (400, b'{"error":"sessionId is required"}', False),
        (200, b'{"error":"Unknown method"}', False),
        (500, b"Unknown method", False),
    ],
)
def test_an_older_release_says_that_it_has_no_such_method(status: int, body: bytes, expected: bool) -> None:
    assert is_unknown_method(status, body) == expected


# Whether all messages are read


def test_nothing_is_sent_to_see_what_is_wanted() -> None:
    assert build_empty_send() == HttpCall("/send", b"{}")


@pytest.mark.parametrize(
    ("status", "error", "takes"),
    [
        (400, "Invalid send format. Expected { messages: Message[] } or { message: Message }", True),
        (400, "Invalid message format. Expected { role, content: ContentBlock[] }", False),
        (400, "Invalid message format. Expected { messages: Message[] }", None),
        (400, "Invalid request body", None),
        (401, "Authentication failed", None),
        (500, "Invalid send format. Expected { messages: Message[] } or { message: Message }", None),
    ],
)
def test_a_refusal_shows_whether_all_messages_are_read(status: int, error: str, takes: bool | None) -> None:
    assert reads_all_messages(status, json.dumps({"error": error}).encode()) is takes


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b"\xff"])
def test_a_response_that_is_no_refusal_shows_nothing(body: bytes) -> None:
    assert reads_all_messages(400, body) is None
    assert parse_send_form(400, body) == ""


@pytest.mark.parametrize(
    ("status", "error", "form"),
    [
        (400, "Invalid send format. Expected { messages: Message[] } or { message: Message }", "messages"),
        (400, "Invalid message format. Expected { messages: Message[] }", "messages"),
        (400, "Invalid message format. Expected { role, content: ContentBlock[] }", "message"),
        (400, "Invalid request body", ""),
        (404, "Invalid message format. Expected { messages: Message[] }", ""),
    ],
)
def test_a_refusal_shows_which_form_is_read(status: int, error: str, form: str) -> None:
    assert parse_send_form(status, json.dumps({"error": error}).encode()) == form


@pytest.mark.parametrize("form", ["message", "messages"])
def test_a_gateway_whose_form_is_known_gets_no_other(form: str) -> None:
    turn = Turn((Text("Hi"),), {"openai": {"temperature": 0.5}})
    both = body_of(build_send(KEY, turn))
    assert body_of(build_send(KEY, turn, form)) == {"sessionId": KEY, form: both[form]}


def test_the_last_message_is_marked() -> None:
    both = (Message("user", (Text("a"),)), Message("user", (Text("b"),)))
    sent = json.loads(build_send("k", Turn((Text("b"),), {}, both, mark="m1")).body)
    assert [message.get("id") for message in sent["messages"]] == [None, "m1"]


def test_signs_of_the_model_and_of_a_run_that_failed_before_it() -> None:
    signs = model_markers()
    assert signs[b'"event":"message_start'] is True
    assert signs[b'"event":"error'] is False
