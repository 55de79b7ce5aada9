import json

from oaicompat_proxy.core.answer import AgentToolCalled, AgentToolReturned
from oaicompat_proxy.core.events import ToolFinished
from oaicompat_proxy.translation.agent_tools import MAX_CALLS, AgentTools


def finished(call_id="a", result="42", *, is_error=False, is_placeholder=False):
    return ToolFinished(call_id, "add", result, is_error, None, is_placeholder)


def test_a_call_is_told_with_its_result():
    tools = AgentTools(100)
    tools.add_arguments("a", '{"a":')
    tools.add_arguments("b", "{}")
    tools.add_arguments("a", "1}")
    assert tools.finish(finished()) == [AgentToolCalled("a", "add", '{"a":1}'), AgentToolReturned("a", "42")]
    tools.add_call("a", '{"a":2}')
    assert tools.finish(finished())[0] == AgentToolCalled("a", "add", '{"a":2}')
    assert tools.finish(finished())[0] == AgentToolCalled("a", "add", "{}")


def test_a_failure_has_a_reason():
    assert AgentTools(100).finish(finished(result="no route", is_error=True))[1] == AgentToolReturned(
        "a", "", "no route"
    )
    assert AgentTools(100).finish(finished(result="", is_error=True))[1] == AgentToolReturned(
        "a", "", "The tool failed."
    )


def test_what_is_long_is_cut_and_arguments_stay_json():
    tools = AgentTools(10)
    tools.add_arguments("a", '{"text":"')
    for _ in range(1000):
        tools.add_arguments("a", "x")
    called, returned = tools.finish(finished(result="y" * 11))
    assert json.loads(called.arguments) == {"truncated": '{"text":"x'}
    assert returned == AgentToolReturned("a", "y" * 10, None, truncated=True)
    tools.add_call("a", '"34567890"')
    assert tools.finish(finished(result="y" * 10)) == [
        AgentToolCalled("a", "add", '"34567890"'),
        AgentToolReturned("a", "y" * 10),
    ]


def test_placeholders_wait_until_they_are_the_last_word():
    tools = AgentTools(100)
    tools.add_call("a", "{}")
    assert tools.finish(finished(is_placeholder=True)) == []
    assert [type(part) for part in tools.finish_placeholders()] == [AgentToolCalled, AgentToolReturned]
    assert tools.finish_placeholders() == []


def test_subagents_have_ids_of_their_own():
    tools = AgentTools(100)
    first = tools.finish_subagent("researcher", "Found it.", is_error=False)
    second = tools.finish_subagent("researcher", "lost", is_error=True)
    assert first == [AgentToolCalled("subagent 1", "researcher", "{}"), AgentToolReturned("subagent 1", "Found it.")]
    assert second[1] == AgentToolReturned("subagent 2", "", "lost")


def test_calls_that_never_return_are_bounded():
    tools = AgentTools(100)
    for number in range(MAX_CALLS + 1):
        tools.add_call(str(number), '{"a":1}')
        tools.finish(finished("x", is_placeholder=True))
    assert tools.finish(finished("0"))[0].arguments == "{}"
    assert tools.finish(finished("1"))[0].arguments == '{"a":1}'
    assert len(tools.finish_placeholders()) == 2 * MAX_CALLS
