"""Calls as items: the client's, the agent's own, and what waits for an approval."""

import pytest

from oaicompat_proxy.api.openai.responses.answer.output import OutputOptions
from oaicompat_proxy.core.answer import (
    AgentToolCalled,
    AgentToolReturned,
    AnswerFinished,
    FinishReason,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
)
from tests.support.response_parts import QUESTION, STOP, answer


def test_calls_of_the_agent_are_mcp_calls() -> None:
    received = answer(
        TextPart("Let me see."),
        AgentToolCalled("a", "add", '{"a":1}'),
        AgentToolCalled("b", "fetch", "", "researcher"),
        AgentToolReturned("b", "", "no route"),
        AgentToolReturned("a", "2", truncated=True),
        TextPart("\n\nTwo."),
        AgentToolCalled("c", "wait", "{}"),
        STOP,
    )
    assert received.text == "Let me see.\n\nTwo."
    add, fetch, wait = received.agent_calls
    assert (add["server_label"], add["name"], add["arguments"]) == ("owl", "add", '{"a":1}')
    assert (add["status"], add["output"], add["error"]) == ("completed", "2… (truncated)", None)
    assert (fetch["server_label"], fetch["arguments"], fetch["status"]) == ("owl/researcher", "{}", "failed")
    assert fetch["error"]["content"] == [{"type": "text", "text": "no route"}]
    assert wait["status"] == "incomplete"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"an owl"}', "an owl"),
        ("an owl", "an owl"),
        ('{"input":1}', '{"input":1}'),
        ('{"input":"x","y":1}', '{"input":"x","y":1}'),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_custom_tools_get_free_text(arguments: str, text: str) -> None:
    options = OutputOptions("owl", custom_tools=frozenset({"poem"}))
    received = answer(
        ToolCallOpened(0, "c1", "poem"),
        ToolCallArguments(0, arguments[:4]),
        ToolCallArguments(0, arguments[4:]),
        AnswerFinished(FinishReason.TOOL_CALLS),
        options=options,
    )
    assert received.calls == [("c1", "poem", text)]
    assert received.response["output"][0]["type"] == "custom_tool_call"


def test_a_question_is_an_approval_request_where_the_client_knows_them() -> None:
    parts = (
        ToolCallOpened(0, "confirm_abc", "confirm_tool_call"),
        ToolCallArguments(0, QUESTION),
        AnswerFinished(FinishReason.TOOL_CALLS),
    )
    received = answer(*parts, options=OutputOptions("owl", question_tool="confirm_tool_call"))
    assert received.approvals == [
        {
            "id": "mcpr_abc",
            "type": "mcp_approval_request",
            "server_label": "owl",
            "name": "tide",
            "arguments": '{"port": "Brest"}',
        }
    ]
    assert answer(*parts).calls == [("confirm_abc", "confirm_tool_call", QUESTION)]
