"""What the demo agents say: from a prompt to a script. Pure.

A scenario is asked for by its exact tag, `[[scenario:NAME]]`, or by plain words. `SCENARIOS` is the list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import texts
from .agents import Agent
from .example_arguments import arguments
from .prompt import Prompt
from .script import Call, Cut, Fail, Hang, Pause, Report, Say, Script, Spawn, Tape, Think, Tick, Usage, words

SECOND = Pause(50)
"""A second at the usual pace."""
MAX_TICKS = 10
LONG_WORDS = 2000
BIG = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Demand:
    """What a scenario knows: the prompt, and how to name a new call."""

    prompt: Prompt
    new_id: Callable[[], str]

    def call(self, name: str, given: dict[str, Any], result: str = "", **more: Any) -> Call:
        pieces = tuple(re.findall(r".{1,6}", json.dumps(given, separators=(",", ":"), ensure_ascii=False), re.S))
        return Call(f"call_{self.new_id()}", name, pieces, result, **more)


Scenario = Callable[[Demand], Script | Tape]


def say(text: str) -> Say:
    return Say(words(text))


def script(*steps: Any, **tick: Any) -> Script:
    return Script((Tick(steps, **tick),))


def two_ticks(call: Call, answer: str, before: str = texts.LET_ME_SEE) -> Script:
    """A tool call, and the answer made of its result."""
    first = Tick((say(before), call), stop="tool_use", go_on=True)
    return Script((first, Tick((say(answer),))))


def answer(demand: Demand) -> Script:
    return script(say(texts.answer(demand.prompt.last)))


def reasoning(demand: Demand) -> Script:
    return script(Think(words(texts.THOUGHT)), say(texts.THOUGHT_OVER))


def tool(demand: Demand) -> Script:
    last = demand.prompt.last
    if texts.CLOCK_WORDS.search(last):
        return two_ticks(demand.call("clock", {}, texts.CLOCK), texts.CLOCK_ANSWER)
    numbers = [int(number) for number in re.findall(r"-?\d{1,15}", last)][:2]
    a, b = numbers if len(numbers) == 2 else (19, 23)
    return two_ticks(demand.call("add", {"a": a, "b": b}, str(a + b)), f"The sum of {a} and {b} is {a + b}.")


def client_call(demand: Demand) -> Call:
    """The tool that must be called, else the one that is spoken of, else the first; else the demo's own."""
    prompt = demand.prompt
    if not prompt.tools:
        return demand.call("client_weather", {"city": "Paris", "unit": "C"}, by="client")
    wanted = [tool for tool in prompt.tools if tool.name == prompt.choice]
    spoken = [tool for tool in prompt.tools if mentions(prompt.last, tool.name)]
    chosen = (wanted or spoken or list(prompt.tools))[0]
    return demand.call(chosen.name, arguments(chosen.schema), by="client")


def client_tool(demand: Demand) -> Script:
    return script(say(texts.CHECKING), client_call(demand), stop="tool_use")


def client_tool_faked(demand: Demand) -> Script:
    return two_ticks(client_call(demand), texts.FAKED)


def tool_result(demand: Demand) -> Script:
    return script(say(texts.result(demand.prompt.result or "")))


def tool_whole(demand: Demand) -> Script:
    return two_ticks(demand.call("add", {"a": 19, "b": 23}, "42", deltas=False), texts.SUM)


def tool_twice(demand: Demand) -> Script:
    return two_ticks(demand.call("add", {"a": 19, "b": 23}, "42", copies=2), texts.SUM)


def tool_parallel(demand: Demand) -> Script:
    second = demand.call("add", {"a": 20, "b": 3}, "23")
    first = demand.call("add", {"a": 19, "b": 23}, "42", interleaved=second)
    return two_ticks(first, "The sums are 42 and 23.")


def tool_unended(demand: Demand) -> Script:
    return two_ticks(demand.call("add", {"a": 19, "b": 23}, "42", ended=False), texts.SUM)


def tool_unknown(demand: Demand) -> Script:
    fault = {"error": "Tool teleport not available", "error_type": "TOOL_NOT_FOUND"}
    call = demand.call("teleport", {"to": "Mars"}, json.dumps(fault, separators=(",", ":")), is_error=True)
    return two_ticks(call, "There is no such tool here, so we stay where we are.")


def fail(demand: Demand) -> Script:
    return script(say("One two three "), Fail("Demo provider exploded midstream"))


def fail_start(demand: Demand) -> Script:
    return script(Fail("Demo provider exploded at start (401 invalid api key)"))


def adapter_error(demand: Demand) -> Script:
    report = Report("Provider says overloaded", "overloaded_error")
    first = Tick((say("Partial "), report), stop="error", go_on=True)
    return Script((first, Tick((say("Recovered answer."),))))


def spawn(demand: Demand) -> Script:
    child = Spawn("[[scenario:child]]", script(Say(("CHILD ", "SAYS ", "HI."))))
    call = demand.call("ask_child", {"q": "hi"}, "CHILD SAYS HI.", spawn=child)
    return two_ticks(call, "Parent done.", before="Parent asks. ")


def confirm(demand: Demand) -> Script:
    return two_ticks(demand.call("danger", {"x": 1}, "done", confirm=True), "It is over.")


def slow(demand: Demand) -> Script:
    steps = [step for word in words(texts.SLOW) for step in (SECOND, Say((word,)))]
    return script(*steps)


def silent(demand: Demand) -> Tape:
    return Tape((Hang(),))


def long(demand: Demand) -> Script:
    return script(Say(tuple(f"word{number} " for number in range(LONG_WORDS))))


def max_tokens(demand: Demand) -> Script:
    return script(Say(("This is ", "cut ", "of")), stop="max_tokens")


def max_ticks(demand: Demand) -> Script:
    def tick(number: int) -> Tick:
        call = demand.call("add", {"a": number, "b": 1}, str(number + 1))
        return Tick((Say((f"Step {number}. ",)), call), stop="tool_use", go_on=True)

    return Script(tuple(tick(number) for number in range(1, MAX_TICKS + 1)))


def server_stop(demand: Demand) -> Script:
    """The application ends the run on a tick whose tool the gateway has run."""
    return script(say("Adding."), demand.call("add", {"a": 1, "b": 2}, "3"), stop="tool_use")


def mixed_stop(demand: Demand) -> Script:
    """The same, with a tool of the client's beside it."""
    shown = demand.call("client_weather", {"city": "Paris"}, by="client")
    return script(say("Adding."), demand.call("add", {"a": 1, "b": 2}, "3"), shown, stop="tool_use")


def usage_late(demand: Demand) -> Script:
    return script(Say(("Usage ", "late.")), usage=Usage(100, 50), usage_late=True)


def stop_sequence(demand: Demand) -> Script:
    said = (Say(("Stopped ", "at a word.")),)
    return Script((Tick(said, stop="stop_sequence", go_on=True), Tick(said)))


def empty(demand: Demand) -> Script:
    return script()


def empty_deltas(demand: Demand) -> Script:
    return script(Say(("", "Nothing ", "", "is ", "lost.", "")))


def unicode(demand: Demand) -> Script:
    return script(Say(texts.UNICODE))


def surrogate(demand: Demand) -> Script:
    return script(Say(("\ud83d", "\ude00 done")))


def big(demand: Demand) -> Script:
    return script(say("That was a large frame."), padding=BIG)


def cut(demand: Demand) -> Script:
    return script(say("The line will be "), Cut())


def echo(demand: Demand) -> Script:
    return script(say(demand.prompt.whole))


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


def compose(agent: Agent, prompt: Prompt, new_id: Callable[[], str]) -> Script | Tape:
    """What this agent does when it is asked this."""
    demand = Demand(prompt, new_id)
    return (echo if agent.id == "echo" else chosen(prompt))(demand)


def chosen(prompt: Prompt) -> Scenario:
    """A tool's result is answered first, then tags count, then what the client demands, then words."""
    if prompt.result is not None:
        return tool_result
    if prompt.tag in SCENARIOS:
        return SCENARIOS[prompt.tag]
    if prompt.tools and prompt.choice != "none" and wants_client_tool(prompt):
        return client_tool
    return next((scenario for words_, scenario in PLAIN_WORDS if words_.search(prompt.last)), answer)


def wants_client_tool(prompt: Prompt) -> bool:
    if prompt.choice != "auto":
        return True
    named = any(mentions(prompt.last, tool.name) for tool in prompt.tools)
    return named or bool(CLIENT_WORDS.search(prompt.last))


def mentions(text: str, name: str) -> bool:
    return bool(re.search(rf"\b{re.escape(name)}\b", text))
