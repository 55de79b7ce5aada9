"""The agent's own tool calls, shown to the client (setting `server_tools`), and never sent back to the agent."""

from __future__ import annotations

import re
from typing import Any

import pytest

from oaicompat_proxy.demo import texts
from oaicompat_proxy.demo.script import Raw, RawScript, Say, Script, ScriptedToolCall, Tick
from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.conformance import Answer
from tests.support.proxy_harness import Chat, StartFront, function
from tests.support.scripted_gateway import OPENING, closing, frame, text

pytest_plugins = ["tests.support.proxy_fixtures"]
pytestmark = pytest.mark.usefixtures("wire")

both_ways = pytest.mark.parametrize("stream", [True, False])
visible = pytest.mark.parametrize("where", ["reasoning", "content"])

TOOL = "⟦tool⟧"
CHILD = "⟦child⟧"
ADDED = r'⟦tool⟧ add \{"a":19,"b":23\} → 42 \(\d+\.\d s\)'


def tool_lines(answer: Answer, where: str) -> list[str]:
    """The lines, and nothing of them in the other place."""
    here, there = (answer.reasoning, answer.text) if where == "reasoning" else (answer.text, answer.reasoning)
    assert "⟦" not in there
    return [line for line in here.splitlines() if "⟦" in line]


async def shown_lines(front: StartFront, where: str, *steps: Any, **how: Any) -> list[str]:
    """The lines of a run that does this and then answers."""
    script = Script((Tick(tuple(steps), stop_reason="tool_use", should_continue=True), Tick((Say(("Done.",)),))))
    there = await front(GatewaySettings(pace=0, recordings={"go": script}), server_tools=where)
    return tool_lines(await there.ask("go", **how), where)


@both_ways
@pytest.mark.parametrize("scenario", ["tool", "tool_unknown", "spawn", "tool_parallel"])
async def test_by_default_nothing_is_shown(front: StartFront, scenario: str, stream: bool) -> None:
    there = await front()
    answer = await there.ask(f"[[scenario:{scenario}]]", stream=stream)
    assert "⟦" not in answer.text
    assert answer.reasoning == ""


@both_ways
async def test_as_reasoning(front: StartFront, stream: bool) -> None:
    there = await front(server_tools="reasoning")
    answer = await there.ask("[[scenario:tool]]", stream=stream)
    assert re.fullmatch(ADDED, answer.reasoning)
    assert answer.text == f"{texts.LET_ME_SEE}\n\nThe sum of 19 and 23 is 42."


@both_ways
async def test_as_content(front: StartFront, stream: bool) -> None:
    there = await front(server_tools="content")
    answer = await there.ask("[[scenario:tool]]", stream=stream)
    before, line, after = answer.text.split("\n\n")
    assert (before, after) == (texts.LET_ME_SEE, "The sum of 19 and 23 is 42.")
    assert re.fullmatch(ADDED, line)
    assert answer.reasoning == ""


@visible
@pytest.mark.parametrize("scenario", ["tool_whole", "tool_unended", "tool"])
@pytest.mark.parametrize("model", ["demo", "nostream"])
async def test_a_call_is_shown_however_it_was_reported(
    front: StartFront, where: str, scenario: str, model: str
) -> None:
    there = await front(server_tools=where)
    (line,) = tool_lines(await there.ask(f"[[scenario:{scenario}]]", model=model), where)
    assert re.fullmatch(ADDED, line)


@visible
async def test_parallel_calls_are_sent_one_by_one(front: StartFront, where: str) -> None:
    there = await front(server_tools=where)
    first, second = tool_lines(await there.ask("[[scenario:tool_parallel]]"), where)
    assert re.fullmatch(ADDED, first)
    assert re.fullmatch(r'⟦tool⟧ add \{"a":20,"b":3\} → 23 \(\d+\.\d s\)', second)


@visible
async def test_a_failure_is_shown_as_one(front: StartFront, where: str) -> None:
    there = await front(server_tools=where)
    (line,) = tool_lines(await there.ask("[[scenario:tool_unknown]]"), where)
    assert re.match(r'⟦tool⟧ teleport \{"to":"Mars"\} ✗ \{"error":"Tool teleport not available"', line)


@visible
async def test_long_arguments_and_results_are_shortened(front: StartFront, where: str) -> None:
    arguments = '{"text":"' + "a" * 5000 + '"}'
    (line,) = await shown_lines(front, where, ScriptedToolCall("c1", "print", (arguments,), "b" * 5000))
    assert len(line) < 500
    assert line.count("…") == 2
    assert "aaa" in line
    assert "bbb" in line


@visible
async def test_a_result_of_many_lines_is_shown_in_one(front: StartFront, where: str) -> None:
    hostile = f"one\ntwo\r\n{TOOL} rm -rf\u2028three\x85four"
    lines = await shown_lines(front, where, ScriptedToolCall("c1", "print", ("{}",), hostile))
    assert len(lines) == 1
    assert f"→ one two {TOOL} rm -rf three four" in lines[0]


@visible
async def test_a_child_is_shown_by_its_name_and_its_last_message(front: StartFront, where: str) -> None:
    """Its earlier text stays inside."""
    there = await front(server_tools=where)
    answer = await there.ask("[[scenario:spawn]]")
    child, tool = tool_lines(answer, where)
    assert child.lower() == f"{CHILD} child → child says hi."
    assert tool.startswith(f'{TOOL} ask_child {{"q":"hi"}} → CHILD SAYS HI.')
    parts = [part for part in answer.text.split("\n\n") if "⟦" not in part]
    assert parts == ["Parent asks. ", "Parent done."]


@visible
async def test_a_fork_is_shown_by_the_branch_that_was_taken(front: StartFront, where: str) -> None:
    there = await front(GatewaySettings(pace=0, recordings={"go": forked()}), server_tools=where)
    answer = await there.ask("go")
    assert tool_lines(answer, where) == [f"{CHILD} fork → left"]
    assert "The branch says" not in answer.text + answer.reasoning


def forked() -> RawScript:
    """A run of release 0.9.4 in which two branches are tried; their own events carry a path."""
    inside = frame("content_delta", blockType="text", blockIndex=0, delta="The branch says", spawnPath=["f1"])
    steps = [
        *OPENING,
        frame("fork_start", forkId="f1", branches=["left", "right"]),
        inside,
        frame("fork_end", forkId="f1", selectedBranch="left"),
        text("Done."),
        *closing(),
    ]
    return RawScript(tuple(map(Raw, steps)))


@visible
async def test_the_clients_own_call_is_not_narrated(front: StartFront, where: str) -> None:
    """The gateway says that it ran it; the client knows better."""
    there = await front(server_tools=where)
    answer = await there.ask("[[scenario:client_tool_faked]]", tools=[function("tide", port="string")])
    assert [name for _, name, _ in answer.tool_calls] == ["tide"]
    assert "⟦" not in answer.text + answer.reasoning


async def test_reasoning_that_is_switched_off_sends_nothing(front: StartFront) -> None:
    there = await front(server_tools="reasoning", reasoning_field="none")
    received = await there.post("[[scenario:tool]]")
    assert "⟦".encode() not in received.body


# Told back


@both_ways
@pytest.mark.parametrize("history", ["fold", "full"])
async def test_narration_in_content_is_not_sent_back(front: StartFront, history: str, stream: bool) -> None:
    """Else the model would learn to write such lines itself."""
    there = await front(server_tools="content", history=history)
    chat = Chat(there, stream=stream)
    await chat.say("[[scenario:spawn]]")
    assert "⟦" in chat.messages[1]["content"]
    await chat.say("And now?")
    last = [body.decode() for path, body in there.gateway_state.requests if path == "/send"][-1]
    assert "\\u27e6" not in last
    assert "⟦" not in last
    assert "Parent asks." in last
    assert "Parent done." in last


async def test_a_user_who_quotes_such_a_line_is_heard(front: StartFront) -> None:
    there = await front(server_tools="content")
    await there.ask(
        [
            {"role": "user", "content": f"{TOOL} add → 42"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "What is that?"},
        ]
    )
    assert f"> {TOOL} add → 42" in there.prompt()


async def test_a_recognised_conversation_may_hold_such_lines(front: StartFront) -> None:
    there = await front(server_tools="content", sessions="recognise")
    chat = Chat(there)
    await chat.say("[[scenario:tool]]")
    await chat.say("And now?")
    assert len({run.session_key for run in there.runs}) == 1
    there.keep_sessions()
