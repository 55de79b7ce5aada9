import json

from oaicompat_proxy.core.answer import AgentToolCalled, AgentToolReturned, ReasoningPart, TextPart
from oaicompat_proxy.core.events import SubagentFinished, ToolFinished
from oaicompat_proxy.translation.agent_tools import NarratedTools, ToolItems, new_agent_tools
from oaicompat_proxy.translation.answer_text import AnswerText
from oaicompat_proxy.translation.buffer_limit import BufferLimit
from oaicompat_proxy.translation.pending_calls import MAX_CALLS


def finished(call_id="a", result="42", *, is_error=False, is_placeholder=False):
    return ToolFinished(call_id, "add", result, is_error, None, is_placeholder)


def test_a_call_is_shown_with_its_result():
    tools = ToolItems(100)
    tools.add_arguments("a", '{"a":')
    tools.add_arguments("b", "{}")
    tools.add_arguments("a", "1}")
    assert tools.on_tool_finished(finished()) == [AgentToolCalled("a", "add", '{"a":1}'), AgentToolReturned("a", "42")]
    tools.add_call("a", '{"a":2}')
    assert tools.on_tool_finished(finished())[0] == AgentToolCalled("a", "add", '{"a":2}')
    assert tools.on_tool_finished(finished())[0] == AgentToolCalled("a", "add", '{"a":2}')
    assert tools.release_placeholders() == []
    assert tools.on_tool_finished(finished())[0] == AgentToolCalled("a", "add", "{}")


def test_a_failure_has_a_reason():
    assert ToolItems(100).on_tool_finished(finished(result="no route", is_error=True))[1] == AgentToolReturned(
        "a", "", "no route"
    )
    assert ToolItems(100).on_tool_finished(finished(result="", is_error=True))[1] == AgentToolReturned(
        "a", "", "The tool failed."
    )


def test_what_is_long_is_cut_and_arguments_stay_json():
    tools = ToolItems(10)
    tools.add_arguments("a", '{"text":"')
    for _ in range(1000):
        tools.add_arguments("a", "x")
    called, returned = tools.on_tool_finished(finished(result="y" * 11))
    assert json.loads(called.arguments) == {"truncated": '{"text":"x'}
    assert returned == AgentToolReturned("a", "y" * 10, None, truncated=True)
    tools.add_call("a", '"34567890"')
    assert tools.on_tool_finished(finished(result="y" * 10)) == [
        AgentToolCalled("a", "add", '"34567890"'),
        AgentToolReturned("a", "y" * 10),
    ]


def test_placeholders_wait_until_they_are_the_last_word():
    tools = ToolItems(100)
    tools.add_call("a", "{}")
    assert tools.on_tool_finished(finished(is_placeholder=True)) == []
    assert [type(part) for part in tools.release_placeholders()] == [AgentToolCalled, AgentToolReturned]
    assert tools.release_placeholders() == []


def test_subagents_have_ids_of_their_own():
    tools = ToolItems(100)
    first = tools.on_subagent_finished(SubagentFinished("researcher", "Found it.", False))
    second = tools.on_subagent_finished(SubagentFinished("researcher", "lost", True))
    assert first == [AgentToolCalled("subagent 1", "researcher", "{}"), AgentToolReturned("subagent 1", "Found it.")]
    assert second[1] == AgentToolReturned("subagent 2", "", "lost")


def test_calls_that_never_return_are_bounded():
    tools = ToolItems(100)
    for number in range(MAX_CALLS + 1):
        tools.add_call(str(number), '{"a":1}')
        tools.on_tool_finished(finished("x", is_placeholder=True))
    assert tools.on_tool_finished(finished("0"))[0].arguments == "{}"
    assert tools.on_tool_finished(finished("1"))[0].arguments == '{"a":1}'
    assert len(tools.release_placeholders()) == 2 * MAX_CALLS


def test_narration_goes_where_it_is_wanted():
    text = AnswerText("\n\n", BufferLimit(1000))
    for where, kind in [("content", TextPart), ("reasoning", ReasoningPart)]:
        tools = new_agent_tools(where, text, 100)
        assert isinstance(tools, NarratedTools)
        tools.add_call("a", "{}")
        (part,) = tools.on_tool_finished(finished())
        assert type(part) is kind
        assert "add {} → 42" in part.text
        assert tools.on_tool_finished(finished(is_placeholder=True)) == []
        assert len(tools.release_placeholders()) == 1
        assert "researcher" in tools.on_subagent_finished(SubagentFinished("researcher", "Found it.", False))[0].text
    assert new_agent_tools("hide", text, 100) is None
    assert isinstance(new_agent_tools("items", text, 100), ToolItems)
