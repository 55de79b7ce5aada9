"""Scenarios of the demo agents: each turns a prompt into a script. Pure.

A prompt chooses a scenario by its tag, `[[scenario:NAME]]`, or by plain words. `SCENARIOS` lists them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import texts
from .agents import Agent
from .example_arguments import example_arguments
from .prompt import Prompt
from .script import (
    DropConnection,
    FailRun,
    Hang,
    Pause,
    RawScript,
    ReportError,
    Say,
    Script,
    ScriptedToolCall,
    Spawn,
    Think,
    Tick,
    Usage,
    split_words,
)

ONE_SECOND = Pause(50)
"""One second with the default `pace`."""
MAX_TICKS = 10
LONG_WORDS = 2000
BIG_FRAME_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ScenarioContext:
    """The input of a scenario: the prompt, and a source of ids for tool calls."""

    prompt: Prompt
    new_id: Callable[[], str]

    def call(self, name: str, arguments: dict[str, Any], result: str = "", **more: Any) -> ScriptedToolCall:
        pieces = tuple(re.findall(r".{1,6}", json.dumps(arguments, separators=(",", ":"), ensure_ascii=False), re.S))
        return ScriptedToolCall(f"call_{self.new_id()}", name, pieces, result, **more)


Scenario = Callable[[ScenarioContext], Script | RawScript]


def say(text: str) -> Say:
    return Say(split_words(text))


def script(*steps: Any, **tick: Any) -> Script:
    return Script((Tick(steps, **tick),))


def two_ticks(call: ScriptedToolCall, answer: str, before: str = texts.LET_ME_SEE) -> Script:
    """A tool call in the first tick, the answer in the second."""
    first = Tick((say(before), call), stop_reason="tool_use", should_continue=True)
    return Script((first, Tick((say(answer),))))


def answer(context: ScenarioContext) -> Script:
    return script(say(texts.answer(context.prompt.last)))


def reasoning(context: ScenarioContext) -> Script:
    return script(Think(split_words(texts.THOUGHT)), say(texts.THOUGHT_OVER))


def tool(context: ScenarioContext) -> Script:
    last = context.prompt.last
    if texts.CLOCK_WORDS.search(last):
        return two_ticks(context.call("clock", {}, texts.CLOCK), texts.CLOCK_ANSWER)
    numbers = [int(number) for number in re.findall(r"-?\d{1,15}", last)][:2]
    a, b = numbers if len(numbers) == 2 else (19, 23)
    return two_ticks(context.call("add", {"a": a, "b": b}, str(a + b)), f"The sum of {a} and {b} is {a + b}.")


def client_call(context: ScenarioContext) -> ScriptedToolCall:
    """Calls the tool of `tool_choice`, else one that the prompt mentions, else the first, else the demo's own."""
    prompt = context.prompt
    if not prompt.tools:
        return context.call("client_weather", {"city": "Paris", "unit": "C"}, executed_by="client")
    forced = [tool for tool in prompt.tools if tool.name == prompt.choice]
    mentioned = [tool for tool in prompt.tools if prompt.mentions(tool.name)]
    chosen = (forced or mentioned or list(prompt.tools))[0]
    return context.call(chosen.name, example_arguments(chosen.schema), executed_by="client")


def client_tool(context: ScenarioContext) -> Script:
    return script(say(texts.CHECKING), client_call(context), stop_reason="tool_use")


def client_tool_faked(context: ScenarioContext) -> Script:
    return two_ticks(client_call(context), texts.FAKED)


def tool_result(context: ScenarioContext) -> Script:
    return script(say(texts.result(context.prompt.result or "")))


def tool_whole(context: ScenarioContext) -> Script:
    return two_ticks(context.call("add", {"a": 19, "b": 23}, "42", deltas=False), texts.SUM)


def tool_twice(context: ScenarioContext) -> Script:
    return two_ticks(context.call("add", {"a": 19, "b": 23}, "42", copies=2), texts.SUM)


def tool_parallel(context: ScenarioContext) -> Script:
    second = context.call("add", {"a": 20, "b": 3}, "23")
    first = context.call("add", {"a": 19, "b": 23}, "42", interleaved=second)
    return two_ticks(first, "The sums are 42 and 23.")


def tool_unended(context: ScenarioContext) -> Script:
    return two_ticks(context.call("add", {"a": 19, "b": 23}, "42", ended=False), texts.SUM)


def tool_unknown(context: ScenarioContext) -> Script:
    fault = {"error": "Tool teleport not available", "error_type": "TOOL_NOT_FOUND"}
    call = context.call("teleport", {"to": "Mars"}, json.dumps(fault, separators=(",", ":")), is_error=True)
    return two_ticks(call, "There is no such tool here, so we stay where we are.")


def fail(context: ScenarioContext) -> Script:
    return script(say("One two three "), FailRun("Demo provider exploded midstream"))


def fail_start(context: ScenarioContext) -> Script:
    return script(FailRun("Demo provider exploded at start (401 invalid api key)"))


def adapter_error(context: ScenarioContext) -> Script:
    report = ReportError("Provider says overloaded", "overloaded_error")
    first = Tick((say("Partial "), report), stop_reason="error", should_continue=True)
    return Script((first, Tick((say("Recovered answer."),))))


def spawn(context: ScenarioContext) -> Script:
    child = Spawn("[[scenario:child]]", script(Say(("CHILD ", "SAYS ", "HI."))))
    call = context.call("ask_child", {"q": "hi"}, "CHILD SAYS HI.", spawn=child)
    return two_ticks(call, "Parent done.", before="Parent asks. ")


def confirm(context: ScenarioContext) -> Script:
    return two_ticks(context.call("danger", {"x": 1}, "done", confirm=True), "It is over.")


def slow(context: ScenarioContext) -> Script:
    steps = [step for word in split_words(texts.SLOW) for step in (ONE_SECOND, Say((word,)))]
    return script(*steps)


def silent(context: ScenarioContext) -> RawScript:
    return RawScript((Hang(),))


def long(context: ScenarioContext) -> Script:
    return script(Say(tuple(f"word{number} " for number in range(LONG_WORDS))))


def max_tokens(context: ScenarioContext) -> Script:
    return script(Say(("This is ", "cut ", "of")), stop_reason="max_tokens")


def max_ticks(context: ScenarioContext) -> Script:
    def tick(number: int) -> Tick:
        call = context.call("add", {"a": number, "b": 1}, str(number + 1))
        return Tick((Say((f"Step {number}. ",)), call), stop_reason="tool_use", should_continue=True)

    return Script(tuple(tick(number) for number in range(1, MAX_TICKS + 1)))


def server_stop(context: ScenarioContext) -> Script:
    """The application ends the run after a tick whose tool the gateway has executed."""
    return script(say("Adding."), context.call("add", {"a": 1, "b": 2}, "3"), stop_reason="tool_use")


def mixed_stop(context: ScenarioContext) -> Script:
    """Like `server_stop`, with a call of a client's tool in the same tick."""
    shown = context.call("client_weather", {"city": "Paris"}, executed_by="client")
    return script(say("Adding."), context.call("add", {"a": 1, "b": 2}, "3"), shown, stop_reason="tool_use")


def usage_late(context: ScenarioContext) -> Script:
    return script(Say(("Usage ", "late.")), usage=Usage(100, 50), usage_late=True)


def stop_sequence(context: ScenarioContext) -> Script:
    steps = (Say(("Stopped ", "at a word.")),)
    return Script((Tick(steps, stop_reason="stop_sequence", should_continue=True), Tick(steps)))


def empty(context: ScenarioContext) -> Script:
    return script()


def empty_deltas(context: ScenarioContext) -> Script:
    return script(Say(("", "Nothing ", "", "is ", "lost.", "")))


def unicode(context: ScenarioContext) -> Script:
    return script(Say(texts.UNICODE))


def surrogate(context: ScenarioContext) -> Script:
    return script(Say(("\ud83d", "\ude00 done")))


def big(context: ScenarioContext) -> Script:
    return script(say("That was a large frame."), padding=BIG_FRAME_BYTES)


def cut(context: ScenarioContext) -> Script:
    return script(say("The line will be "), DropConnection())


def echo(context: ScenarioContext) -> Script:
    return script(say(context.prompt.whole))


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        answer,
        reasoning,
        tool,
        client_tool,
        client_tool_faked,
        tool_whole,
        tool_twice,
        tool_parallel,
        tool_unended,
        tool_unknown,
        fail,
        fail_start,
        adapter_error,
        spawn,
        confirm,
        slow,
        silent,
        long,
        max_tokens,
        max_ticks,
        server_stop,
        mixed_stop,
        usage_late,
        stop_sequence,
        empty,
        empty_deltas,
        unicode,
        surrogate,
        big,
        cut,
    )
}

PLAIN_WORDS: tuple[tuple[re.Pattern[str], Scenario], ...] = (
    (re.compile(r"(?<!\bI )(?<!\byou )(?<!\bthe )\b(think|reason)\b", re.I), reasoning),
    (re.compile(r"\buse (a|the|your|some) tools?\b|\badd -?\d+ (and|to|plus) -?\d+\b", re.I), tool),
    (texts.CLOCK_WORDS, tool),
    (re.compile(r"^\W*((please|now|can you|could you) )*fail\b|\byou to fail\b", re.I), fail),
    (re.compile(r"^\W*(please )?slow(ly)?\b|\b(be|go|answer|speak|write) (very )?slow(ly)?\b", re.I), slow),
)
CLIENT_WORDS = re.compile(r"\bweather\b|\b(use|call) (a|the|your|my|some) (tools?|functions?)\b", re.I)


def script_for(agent: Agent, prompt: Prompt, new_id: Callable[[], str]) -> Script | RawScript:
    """The script with which this agent answers this prompt."""
    context = ScenarioContext(prompt, new_id)
    return (echo if agent.id == "echo" else choose_scenario(prompt))(context)


def choose_scenario(prompt: Prompt) -> Scenario:
    """The first that applies: a tool's result, a tag, the client's tools and tool choice, plain words."""
    if prompt.result is not None:
        return tool_result
    if prompt.tag in SCENARIOS:
        return SCENARIOS[prompt.tag]
    if prompt.tools and prompt.choice != "none" and wants_client_tool(prompt):
        return client_tool
    return next((scenario for pattern, scenario in PLAIN_WORDS if pattern.search(prompt.last)), answer)


def wants_client_tool(prompt: Prompt) -> bool:
    if prompt.choice != "auto":
        return True
    named = any(prompt.mentions(tool.name) for tool in prompt.tools)
    return named or bool(CLIENT_WORDS.search(prompt.last))
