"""The scenario of each prompt, and the events of the scenarios."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from oaicompat_proxy.demo.agents import AGENTS, Agent, Tool, schema
from oaicompat_proxy.demo.prompt import Prompt
from oaicompat_proxy.demo.scenarios import BIG_FRAME_BYTES, MAX_TICKS, SCENARIOS, choose_scenario, script_for
from oaicompat_proxy.demo.script import Hang, RawScript, Say, Script, ScriptedToolCall

DEMO, ECHO, _ = AGENTS
LOOKUP = Tool("look_up", "", schema(["word"], word="string"), client=True)
FORECAST = Tool("forecast", "", schema(["city"], city="string"), client=True)


def ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{next(numbers)}"


def asked(text: str, **more: Any) -> Prompt:
    return Prompt(text, text, **more)


def composed(prompt: Prompt, agent: Agent = DEMO) -> Script:
    script = script_for(agent, prompt, ids())
    assert isinstance(script, Script)
    return script


def text_of(script: Script) -> str:
    steps = [step for tick in script.ticks for step in tick.steps]
    return "".join(piece for step in steps if isinstance(step, Say) for piece in step.pieces)


def calls_of(script: Script) -> list[ScriptedToolCall]:
    return [step for tick in script.ticks for step in tick.steps if isinstance(step, ScriptedToolCall)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_scenario_has_its_tag(name: str) -> None:
    assert choose_scenario(Prompt(f"please [[scenario:{name}]]", "")) is SCENARIOS[name]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Think about it.", "reasoning"),
        ("please reason first", "reasoning"),
        ("What do you think of Paris?", "answer"),
        ("I think so, and that is the reason", "answer"),
        ("Use a tool", "tool"),
        ("add 19 and 23", "tool"),
        ("what time is it?", "tool"),
        ("fail", "fail"),
        ("Please fail now", "fail"),
        ("Why did my build fail?", "answer"),
        ("be slow", "slow"),
        ("My computer is slow", "answer"),
        ("How is the weather?", "answer"),
        ("[[scenario:nothing_of_that_name]]", "answer"),
        ("", "answer"),
    ],
)
def test_plain_words(text: str, name: str) -> None:
    assert choose_scenario(asked(text)) is SCENARIOS[name]


@pytest.mark.parametrize(
    ("text", "choice", "name"),
    [
        ("How is the weather?", "auto", "client_tool"),
        ("try look_up on this", "auto", "client_tool"),
        ("Hello", "auto", "answer"),
        ("Hello", "required", "client_tool"),
        ("Hello", "look_up", "client_tool"),
        ("How is the weather?", "none", "answer"),
    ],
)
def test_declared_tools(text: str, choice: str, name: str) -> None:
    assert choose_scenario(asked(text, tools=(LOOKUP,), choice=choice)) is SCENARIOS[name]


@pytest.mark.parametrize(
    ("text", "choice", "called"),
    [
        ("weather", "auto", "look_up"),
        ("weather, by forecast", "auto", "forecast"),
        ("weather", "forecast", "forecast"),
    ],
)
def test_which_tool_is_called(text: str, choice: str, called: str) -> None:
    (call,) = calls_of(composed(asked(text, tools=(LOOKUP, FORECAST), choice=choice)))
    assert (call.name, call.executed_by) == (called, "client")


def test_the_arguments_follow_the_schema() -> None:
    (call,) = calls_of(composed(asked("weather", tools=(FORECAST,))))
    assert json.loads("".join(call.arguments)) == {"city": "Paris"}


def test_without_declared_tools_the_client_tool_is_the_demo_s_own() -> None:
    (call,) = calls_of(composed(asked("[[scenario:client_tool]]")))
    assert (call.name, "".join(call.arguments)) == ("client_weather", '{"city":"Paris","unit":"C"}')


def test_a_result_is_answered_before_all_else() -> None:
    prompt = asked("[[scenario:fail]]", tools=(LOOKUP,), choice="required", result="sunny")
    assert "sunny" in text_of(composed(prompt))


def test_the_sum_is_right() -> None:
    script = composed(asked("add 20 and 22"))
    assert calls_of(script)[0].result == "42"
    assert text_of(script).endswith("The sum of 20 and 22 is 42.")


def test_the_answer_quotes_the_prompt_and_says_what_there_is() -> None:
    answer = text_of(composed(asked("Is anybody there?")))
    assert "Is anybody there?" in answer
    assert "use a tool" in answer


def test_echo_repeats_everything_whatever_it_says() -> None:
    prompt = Prompt("[[scenario:fail]]", "before\n[[scenario:fail]]")
    assert text_of(composed(prompt, ECHO)) == prompt.whole


def test_calls_have_ids_of_their_own() -> None:
    calls = calls_of(composed(asked("[[scenario:max_ticks]]")))
    assert len({call.id for call in calls}) == MAX_TICKS


def test_at_the_limit_the_last_tick_would_go_on() -> None:
    assert composed(asked("[[scenario:max_ticks]]")).ticks[-1].should_continue


def test_silent_is_a_raw_script_without_a_byte() -> None:
    assert script_for(DEMO, asked("[[scenario:silent]]"), ids()) == RawScript((Hang(),))


def test_big_is_big() -> None:
    assert composed(asked("[[scenario:big]]")).ticks[0].padding == BIG_FRAME_BYTES
