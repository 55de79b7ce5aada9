"""A turn as an AG-UI agent reads it: judged by the protocol's own types, of both generations' needs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ag_ui.core import PROTOCOL_VERSION, RunAgentInput

from oaicompat_proxy.core.message import Block, Media, Message, Text, Tool, ToolCall
from oaicompat_proxy.core.turn import ConfirmationReply, Turn
from oaicompat_proxy.dialects.ag_ui.pending_interrupts import (
    COMMAND,
    TOOL_MESSAGE,
    PendingInterrupt,
    encode_interrupts,
    fingerprint,
)
from oaicompat_proxy.dialects.ag_ui.requests import build_run

REQUIRED_IN_0 = {"threadId", "runId", "state", "messages", "tools", "context", "forwardedProps"}


def body_of(turn: Turn) -> dict[str, Any]:
    """The body; the protocol's own types read the same from it."""
    body: dict[str, Any] = json.loads(build_run("t1", "r1", turn))
    read = RunAgentInput.model_validate(body)
    assert read.model_dump(by_alias=True, exclude_none=True) == body
    assert [each.model_extra for each in (read, *read.messages, *(read.tools or ())) if each.model_extra] == []
    return body


def messages_of(*conversation: Message) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = body_of(Turn((), {}, conversation))["messages"]
    return messages


def test_both_generations_find_what_they_require() -> None:
    body = body_of(Turn((Text("Hi"),)))
    assert body.keys() == REQUIRED_IN_0 | {"protocolVersion"}
    assert body["protocolVersion"] == PROTOCOL_VERSION
    assert (body["threadId"], body["runId"], body["state"], body["context"]) == ("t1", "r1", {}, [])
    assert (body["tools"], body["forwardedProps"]) == ([], {})


def test_a_turn_that_is_one_message_is_the_users() -> None:
    assert body_of(Turn((Text("Hi"),)))["messages"] == [{"id": "r1-1", "role": "user", "content": "Hi"}]


def test_a_whole_conversation_goes_message_by_message() -> None:
    call = ToolCall("c1", "tide", '{"port":"Brest"}')
    assert messages_of(
        Message("system", (Text("Be brief."), Text("Be kind.")), id="m1"),
        Message("user", (Text("When?"),), name="ada", id="m2"),
        Message("assistant", (Text("Let me look."),), tool_calls=(call,), id="m3"),
        Message("tool", (Text("06"), Text("12")), tool_call_id="c1", id="m4"),
        Message("assistant", (), tool_calls=(call,), id="m5"),
        Message("tool", (), tool_call_id="c1", id="m6"),
        Message("assistant", (), id="m7"),
    ) == [
        {"id": "m1", "role": "system", "content": "Be brief.\nBe kind."},
        {"id": "m2", "role": "user", "name": "ada", "content": "When?"},
        {"id": "m3", "role": "assistant", "content": "Let me look.", "toolCalls": [CALL]},
        {"id": "m4", "role": "tool", "toolCallId": "c1", "content": "06\n12"},
        {"id": "m5", "role": "assistant", "toolCalls": [CALL]},
        {"id": "m6", "role": "tool", "toolCallId": "c1", "content": ""},
        {"id": "m7", "role": "assistant", "content": ""},
    ]


CALL = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": '{"port":"Brest"}'}}


@pytest.mark.parametrize(
    ("block", "native"),
    [
        (Text("Hi"), {"type": "text", "text": "Hi"}),
        (
            Media("image", url="https://harbor.example/quay.png"),
            {"type": "image", "source": {"type": "url", "value": "https://harbor.example/quay.png"}},
        ),
        (
            Media("image", data="QUJD", mime_type="image/png"),
            {"type": "image", "source": {"type": "data", "value": "QUJD", "mimeType": "image/png"}},
        ),
        (
            Media("image", data="QUJD"),
            {"type": "image", "source": {"type": "data", "value": "QUJD", "mimeType": "application/octet-stream"}},
        ),
        (
            Media("audio", data="QUJD", mime_type="audio/wav"),
            {"type": "audio", "source": {"type": "data", "value": "QUJD", "mimeType": "audio/wav"}},
        ),
        (
            Media("document", file_id="file-1", name="tides.pdf"),
            {"type": "document", "source": {"type": "file", "value": "file-1"}, "metadata": {"filename": "tides.pdf"}},
        ),
    ],
)
def test_a_picture_a_sound_and_a_file_are_parts(block: Block, native: dict[str, Any]) -> None:
    look = {"type": "text", "text": "Look:"}
    picture = Media("image", url="https://harbor.example/quay.png")
    (message,) = messages_of(Message("user", (Text("Look:"), picture, block), id="m1"))
    assert message["content"] == [look, message["content"][1], native]


def test_the_clients_tools_and_what_it_said_beside_have_their_places() -> None:
    tool = Tool("tide", "Tide table", {"type": "object", "properties": {"port": {"type": "string"}}})
    body = body_of(Turn((Text("Hi"),), {"openai": {"temperature": 0.5}}, (), (tool,)))
    assert body["tools"] == [{"name": "tide", "description": "Tide table", "parameters": tool.parameters}]
    assert body["forwardedProps"] == {"openai": {"temperature": 0.5}}


def test_an_answer_goes_with_the_agents_own_calls() -> None:
    word = encode_interrupts([PendingInterrupt("i1", "c1", "tide", fingerprint=fingerprint('{"port":"Brest"}'))])
    asked = Message("assistant", (), tool_calls=(ToolCall(word, "tide", '{"port":"Brest"}'),), id="m2")
    turn = Turn(
        (), {}, (Message("user", (Text("When?"),), id="m1"), asked), reply=ConfirmationReply(word, confirmed=True)
    )
    body = body_of(turn)
    assert body["resume"] == [{"interruptId": "i1", "status": "resolved", "payload": {"approved": True}}]
    assert body["messages"][1] == {"id": "m2", "role": "assistant", "toolCalls": [CALL]}


def test_a_question_of_no_tool_leaves_no_message() -> None:
    word = encode_interrupts([PendingInterrupt("i1")])
    call = ToolCall(word, "", "{}")
    asked = [
        Message("assistant", (), tool_calls=(call,)),
        Message("assistant", (Text("Which port?"),), tool_calls=(call,), id="m2"),
    ]
    body = body_of(Turn((), {}, tuple(asked), reply=ConfirmationReply(word, confirmed=True, text="Brest")))
    assert body["messages"] == [{"id": "m2", "role": "assistant", "content": "Which port?"}]
    assert body["resume"] == [{"interruptId": "i1", "status": "resolved", "payload": "Brest"}]


def test_an_answer_may_be_langgraphs_command_beside_what_the_client_said() -> None:
    answer = ConfirmationReply(
        encode_interrupts([PendingInterrupt("i1", channel=COMMAND)]), confirmed=False, text="Brest"
    )
    body = body_of(Turn((), {"openai": {"seed": 7}}, (Message("user", (Text("When?"),), id="m1"),), reply=answer))
    assert body["forwardedProps"] == {"openai": {"seed": 7}, "command": {"resume": "Brest"}}
    assert "resume" not in body


def test_an_answer_may_be_the_result_of_the_call_that_waits() -> None:
    word = encode_interrupts(
        [PendingInterrupt("r1::c1", "c1", "tide", TOOL_MESSAGE, fingerprint=fingerprint('{"port":"Brest"}'))]
    )
    asked = Message("assistant", (), tool_calls=(ToolCall(word, "tide", '{"port":"Brest"}'),), id="m2")
    call, result = body_of(Turn((), {}, (asked,), reply=ConfirmationReply(word, confirmed=True)))["messages"]
    assert call["toolCalls"] == [CALL]
    assert (result["role"], result["toolCallId"]) == ("tool", "c1")
    assert json.loads(result["content"]) == {"approved": True, "accepted": True}


def test_an_agent_that_keeps_its_thread_gets_the_answer_alone() -> None:
    word = encode_interrupts([PendingInterrupt("i1")])
    body = body_of(Turn((Text("the whole conversation"),), reply=ConfirmationReply(word, confirmed=True)))
    assert (body["messages"], len(body["resume"])) == ([], 1)


def test_every_character_survives_half_ones_too() -> None:
    body = build_run("t1", "r1", Turn((Text("\U0001f30a \u2028 \ud83c"),)))
    assert body.isascii()
    assert json.loads(body)["messages"][0]["content"] == "\U0001f30a \u2028 \ud83c"


def test_a_result_is_a_string_unless_it_holds_more_than_text() -> None:
    picture = Media(kind="image", data="QQ==", mime_type="image/png")
    results = [
        Message("tool", (Text("high"), Text("tide")), tool_call_id="c1"),
        Message("tool", (), tool_call_id="c2"),
        Message("tool", (Text("see"), picture), tool_call_id="c3"),
    ]
    messages = json.loads(build_run("t", "r", Turn((), messages=tuple(results))))["messages"]
    assert [each["content"] for each in messages] == [
        "high\ntide",
        "",
        [
            {"type": "text", "text": "see"},
            {"type": "image", "source": {"type": "data", "value": "QQ==", "mimeType": "image/png"}},
        ],
    ]
    assert [each["toolCallId"] for each in messages] == ["c1", "c2", "c3"]
