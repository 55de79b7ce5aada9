"""Event streams and the client's answers, over real HTTP: those of the specification, and our own.

The streams of the AG-UI specification are read where they are at hand. Each says what a strict client makes of it;
where a client of OpenAI's gets something else, `DIFFERENT` says what, and why. A stream whose answer is not that of
the table any more fails, whichever of the two is the better one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ag_ui.core import RunAgentInput

from oaicompat_proxy.core.sse import KEEP_ALIVE
from tests.support.ag_ui_client import Front, both_ways
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.paths import ROOT
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import Agent, Exchange, Reply

pytest_plugins = ["tests.support.ag_ui_fixtures"]

STREAMS = ROOT.parent / "shared" / "ag-ui-streams"
SPECIFIED: dict[Path, Any] = {path: json.loads(path.read_text()) for path in sorted(STREAMS.glob("*.json"))}

Data = dict[str, Any]


class Result(NamedTuple):
    """The answer that a client gets. `calls`: names and arguments."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    finish: str = "stop"
    reasoning: str = ""
    usage: tuple[int, int, int] | None = None


FAILED = None
"""The client gets an error."""

DIFFERENT: dict[str, tuple[Result | None, str]] = {
    "custom-closes-chunk-stream-fatal": (
        Result("Half and half."),
        "events that no answer needs are thrown away unread: the text is whole without them",
    ),
    "era-0-0-39-flattens-content": (Result("A cat."), "it says what is asked, and nothing of the answer"),
    "messages-snapshot-reconciles-by-id": (
        Result("first draft\n\nretracted"),
        "what was streamed cannot be taken back, and both forms of an answer say the same",
    ),
    "open-message-at-run-finished-fatal": (
        Result("never closed"),
        "the agent has said that it is done, so it is whole",
    ),
    "reasoning-discipline-verified": (
        Result("the answer", reasoning="orphaned thought"),
        "a thought that was not announced is one all the same",
    ),
    "reasoning-message-wrong-role-fatal": (
        Result(reasoning="thinking"),
        "the first releases with reasoning messages wanted this role, and producers still write it",
    ),
    "run-finished-cancelled-outcome-accepted": (FAILED, "there is no finish reason for it, and it is no success"),
    "run-finished-interrupt-outcome-accepted": (FAILED, "nobody may answer while confirmations are denied"),
    "truncated-run-reported-as-completed": (FAILED, "the specification itself calls the expectation a gap"),
}


def specified(case: Data) -> Result | None:
    """The answer by the specification, as far as a client of OpenAI's can see it."""
    expect = case["expect"]
    if expect["outcome"] == "failed" or "runError" in expect:
        return FAILED
    messages = [each for each in expect.get("messages", []) if not each.get("subagentRunId")]
    answered = {each["toolCallId"] for each in messages if each["role"] == "tool"}
    spoken = [each for each in messages if each["role"] == "assistant"]
    calls = [call for each in spoken for call in each.get("toolCalls", []) if call["id"] not in answered]
    named = tuple((call["function"]["name"], call["function"]["arguments"]) for call in calls)
    text = "\n\n".join(each["content"] for each in spoken if each.get("content"))
    thoughts = [each["content"] for each in messages if each["role"] == "reasoning"]
    return Result(text, named, "tool_calls" if named else "stop", "\n\n".join(thoughts))


def answering(events: list[Data], **more: Any) -> Callable[[Exchange], Reply]:
    """An agent that plays these; the last run is the one that it was asked for."""

    def reply(asked: Exchange) -> Reply:
        RunAgentInput.model_validate(asked.json)
        assert asked.json["protocolVersion"] == "1.0"
        return Reply([b"".join(map(frame, asked_for(events, asked.json)))], **more)

    return reply


def asked_for(events: list[Data], run_input: Data) -> Iterable[Data]:
    starts = [number for number, event in enumerate(events) if event.get("type") == "RUN_STARTED"]
    for number, event in enumerate(events):
        is_last_run = not starts or number >= starts[-1]
        names = {key: run_input[key] for key in ("threadId", "runId") if key in event}
        yield {**event, **names} if is_last_run else event


def frame(event: Data) -> bytes:
    return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


async def ask(start: StartProxy, agent: Agent, reply: Any, *, stream: bool, **settings: Any) -> Result | None:
    agent.replies("/harbor", reply)
    front = await start(dialect="ag-ui", upstream=f"{agent.url}/harbor", **settings)
    received = await front.chat(stream=stream, stream_options={"include_usage": True} if stream else None)
    if received.status != 200:
        assert received.status in (500, 502, 503)
        assert check_error_body(received.body)
        return FAILED
    answer = check_stream(received.body, include_usage=True) if stream else check_body(received.body)
    if answer.error is not None:
        return FAILED
    calls = tuple((name, arguments) for _, name, arguments in answer.tool_calls)
    used = answer.usage and tuple(answer.usage[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens"))
    return Result(answer.text or "", calls, answer.finish_reason or "", answer.reasoning or "", used)


@both_ways
@pytest.mark.parametrize("path", SPECIFIED, ids=lambda path: path.stem)
async def test_a_stream_of_the_specification(proxy: StartProxy, agent: Agent, path: Path, stream: bool) -> None:
    case = SPECIFIED[path]
    answer = await ask(proxy, agent, answering(case["stream"]), stream=stream)
    if path.stem in DIFFERENT:
        expected, _ = DIFFERENT[path.stem]
        assert expected != specified(case), "it is as specified now: take it out of the table"
        assert answer == expected
    else:
        assert answer == specified(case)


def test_the_table_knows_only_streams_of_the_specification() -> None:
    names = {path.stem for path in SPECIFIED}
    assert not names or DIFFERENT.keys() <= names


# Our own


def started(run_id: str = "r1", **fields: Any) -> Data:
    return {"type": "RUN_STARTED", "threadId": "t1", "runId": run_id, **fields}


def finished(run_id: str = "r1", **fields: Any) -> Data:
    return {"type": "RUN_FINISHED", "threadId": "t1", "runId": run_id, **fields}


def say(text: str, message: str = "a1", **end: Any) -> list[Data]:
    return [
        {"type": "TEXT_MESSAGE_START", "messageId": message, "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": message, "delta": text},
        {"type": "TEXT_MESSAGE_END", "messageId": message, **end},
    ]


def call(call_id: str, name: str, arguments: str) -> list[Data]:
    return [
        {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": name},
        {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": arguments},
        {"type": "TOOL_CALL_END", "toolCallId": call_id},
    ]


def run(*events: Data, run_id: str = "r1", **end: Any) -> list[Data]:
    return [started(run_id), *events, finished(run_id, **end)]


def snapshot(text: str, *call: str) -> Data:
    """`call`: id, name and arguments."""
    asked = {"id": "u1", "role": "user", "content": "?"}
    calls = [{"id": call[0], "type": "function", "function": {"name": call[1], "arguments": call[2]}}] if call else []
    answer = {"id": "a0", "role": "assistant", "content": text, "toolCalls": calls}
    return {"type": "MESSAGES_SNAPSHOT", "messages": [asked, answer]}


OLD = run(*say("Before."), run_id="r0")
ERROR = {"type": "RUN_ERROR", "message": "It broke."}
CHILDS = {"subagentRunId": "s1"}
USED = [
    *call("c1", "almanac", "{}"),
    {"type": "TOOL_CALL_RESULT", "messageId": "x1", "toolCallId": "c1", "content": "06:12"},
]
SIX = Result("Six.")
OWL = {"inputTokens": 8, "outputTokens": 2}

OWN: dict[str, tuple[list[Data], Result | None]] = {
    # several runs
    "a replayed run is not the answer": ([*OLD, *run(*say("Six."))], SIX),
    "a replayed run with a long request in it": (
        [started("r0", input={"runId": "r1", "messages": ["x" * 1000]}), *OLD[1:], *run(*say("Six."))],
        SIX,
    ),
    "a replayed snapshot is not the answer": (
        [*run(snapshot("Before."), run_id="r0"), *run(*say("Six."))],
        SIX,
    ),
    "a replayed snapshot is not the answer of a run that says nothing": (
        [*run(snapshot("Before."), run_id="r0"), *run()],
        Result(),
    ),
    "a replayed call is not the client's": (
        [*run(*call("c0", "tide", "{}"), run_id="r0"), *run(*say("Six."))],
        SIX,
    ),
    "a replayed failure is not the answer's": ([*OLD[:-1], ERROR, *run(*say("Six."))], SIX),
    "three replayed runs": ([*OLD, *OLD, *OLD, *run(*say("Six."))], SIX),
    "a failure behind a replay": ([*OLD, started(), ERROR], FAILED),
    "a replay and no more": ([*OLD, started()], FAILED),
    "a run within a run": ([started("r0"), *run(*say("Six."))], FAILED),
    # the last word
    "a failure behind the end": ([*run(*say("Six.")), ERROR], FAILED),
    "text behind the end": ([*run(*say("Six.")), *say("Seven.", "a2")], FAILED),
    "a call behind the end": ([*run(*say("Six.")), *call("c1", "tide", "{}")], FAILED),
    "state behind the end": ([*run(*say("Six.")), {"type": "STATE_SNAPSHOT", "snapshot": {}}], SIX),
    "no end": ([started(), *say("Six.")], FAILED),
    # malformed
    "a text that is a number": (
        [started(), {"type": "TEXT_MESSAGE_CONTENT", "messageId": "a1", "delta": 6}, finished()],
        FAILED,
    ),
    "half a text and a malformed event": (
        [
            started(),
            *say("Six"),
            {"type": "TEXT_MESSAGE_CONTENT", "messageId": ["a1"], "delta": "."},
            finished(),
        ],
        FAILED,
    ),
    "an unknown property and an unknown event": (
        [started(), {"type": "NEW", "delta": 6}, *say("Six.", new={"a": 1}), finished(new=[])],
        SIX,
    ),
    "an outcome that is a list": (run(*say("Six."), outcome=["success"]), FAILED),
    "an outcome of a new type": (run(*say("Six."), outcome={"type": "paused"}), SIX),
    "an outcome of the first form": (run(*say("Six."), outcome="success"), SIX),
    "usage that is no number": (run(*say("Six."), usage=[{"inputTokens": "8"}]), FAILED),
    # opened again
    "a message that is opened again": (run(*say("Six"), *say(" bells.")), Result("Six bells.")),
    "a call that is opened again": (
        run(*call("c1", "tide", '{"port":'), *call("c1", "tide", '"Brest"}')),
        Result("", (("tide", '{"port":"Brest"}'),), "tool_calls"),
    ),
    "a call that is opened again behind another": (
        run(*call("c1", "tide", "{"), *call("c2", "moon", "{}"), *call("c1", "tide", "}")),
        Result("", (("tide", "{}"), ("moon", "{}")), "tool_calls"),
    ),
    # no text
    "a text in a snapshot behind the agent's own tool": (run(*USED, snapshot("Six.")), SIX),
    "a call in a snapshot behind the agent's own tool": (
        run(*USED, snapshot("Six.", "c2", "tide", "{}")),
        Result("Six.", (("tide", "{}"),), "tool_calls"),
    ),
    "an output that has a type": (
        run(*call("c1", "final_result", '{"bells":6}'), {**USED[-1], "content": "Final result processed."}),
        Result('{"bells":6}'),
    ),
    "an output of LangChain's that has a type": (
        run(
            *call("c1", "Bells", '{"bells":6}'),
            {
                "type": "MESSAGES_SNAPSHOT",
                "messages": [
                    *snapshot("", "c1", "Bells", '{"bells": 6}')["messages"],
                    {"id": "x1", "role": "tool", "toolCallId": "c1", "content": "Returning structured response: 6"},
                ],
            },
        ),
        Result('{"bells":6}'),
    ),
    "a message without text before the snapshot": (
        run(say("")[0], say("")[2], snapshot("Six.")),
        SIX,
    ),
    "a result that is a string behind the agent's own tool": (run(*USED, result="Six."), SIX),
    # usage
    "usage of two models": (run(*say("Six."), usage=[OWL, OWL]), SIX._replace(usage=(16, 4, 20))),
    "a total and a part": (
        run(*say("Six."), usage=[{"inputTokens": 8, "totalTokens": 8}]),
        SIX._replace(usage=(8, 0, 8)),
    ),
    "usage with an unknown part": (run(*say("Six."), usage=[OWL, {"model": "wren"}]), SIX),
    "a total alone": (run(*say("Six."), usage=[{"totalTokens": 8}]), SIX),
    # why it stopped
    "length at the end of the run": (
        run(*say("Six"), metadata={"finishReason": "length"}),
        Result("Six", finish="length"),
    ),
    "length at the end of the message": (
        run(*say("Six", metadata={"finishReason": "length"})),
        Result("Six", finish="length"),
    ),
    "a filter": (run(metadata={"finishReason": "content_filter"}), Result(finish="content_filter")),
    "a guardrail": (
        run(
            *say("I"),
            {"type": "CUSTOM", "name": "AgentStopped", "value": {"stop_reason": "guardrail_intervened"}},
        ),
        Result("I", finish="content_filter"),
    ),
    "a reason that means nothing to a client": (
        run(*say("Six."), metadata={"finishReason": "tool-calls"}),
        SIX,
    ),
    "cancelled": (run(*say("Six"), outcome={"type": "cancelled"}), FAILED),
    # sub-agents
    "a sub-agent's text": (run(*({**each, **CHILDS} for each in say("no", "s1")), *say("Six.")), SIX),
    "a sub-agent's text that goes on without its mark": (
        run(
            *({**each, **(CHILDS if each["type"].endswith("START") else {})} for each in say("no")),
            *say("Six.", "a2"),
        ),
        SIX,
    ),
    "a sub-agent's call": (run(*({**each, **CHILDS} for each in call("c1", "tide", "{}")), *say("Six.")), SIX),
    "a sub-agent in the agent's message": (run(*say("Six.")[:2], {**say("no")[1], **CHILDS}), FAILED),
    "a sub-agent that still runs": (
        run({"type": "SUBAGENT_STARTED", "name": "pilot", **CHILDS}, *say("Six.")),
        FAILED,
    ),
}


@both_ways
@pytest.mark.parametrize(("events", "expected"), OWN.values(), ids=OWN)
async def test_a_stream_of_our_own(
    proxy: StartProxy, agent: Agent, events: list[Data], expected: Result | None, stream: bool
) -> None:
    assert await ask(proxy, agent, answering(events), stream=stream) == expected


@both_ways
async def test_the_text_parts_of_a_result_are_read_where_results_are(
    proxy: StartProxy, agent: Agent, stream: bool
) -> None:
    parts = [{"type": "text", "text": "06"}, {"type": "image", "source": {}}, {"type": "text", "text": ":12"}]
    result = {"type": "TOOL_CALL_RESULT", "messageId": "x1", "toolCallId": "c1", "content": parts}
    reply = answering(run(*call("c1", "tide", "{}"), result, *say("Six.")))
    answer = await ask(proxy, agent, reply, stream=stream, server_tools="content")
    assert answer is not None
    assert "06:12" in answer.text
    assert "image" not in answer.text


# Time limits


@both_ways
@pytest.mark.parametrize("ending", ["stall", "reset", "cut"])
async def test_a_connection_without_an_end_takes_nothing_back(
    proxy: StartProxy, agent: Agent, ending: Any, stream: bool
) -> None:
    def reply(asked: Exchange) -> Reply:
        return Reply([*map(frame, asked_for(run(*say("Six.")), asked.json)), ending])

    assert await ask(proxy, agent, reply, stream=stream) == SIX


@both_ways
async def test_an_answer_in_one_piece_ends_on_a_connection_without_an_end(
    proxy: StartProxy, agent: Agent, stream: bool
) -> None:
    def reply(asked: Exchange) -> Reply:
        return Reply([b"".join(map(frame, asked_for(run(*say("Six.")), asked.json))), "stall"])

    assert await ask(proxy, agent, reply, stream=stream) == SIX


@both_ways
async def test_a_word_behind_the_end_does_not_begin_the_wait_again(
    proxy: StartProxy, agent: Agent, stream: bool
) -> None:
    def reply(asked: Exchange) -> Reply:
        whole = b"".join(map(frame, asked_for(run(*say("Six.")), asked.json)))
        return Reply([whole, 0.2, frame({"type": "STATE_SNAPSHOT", "snapshot": {}}), 0.2, KEEP_ALIVE, "stall"])

    assert await ask(proxy, agent, reply, stream=stream) == SIX


@both_ways
async def test_a_failure_that_comes_a_little_later_takes_the_end_back(
    proxy: StartProxy, agent: Agent, stream: bool
) -> None:
    def reply(asked: Exchange) -> Reply:
        return Reply([*map(frame, asked_for(run(*say("Six.")), asked.json)), 0.2, frame(ERROR)])

    assert await ask(proxy, agent, reply, stream=stream) is FAILED


@both_ways
async def test_an_agent_that_names_its_runs_itself_is_the_answer(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    assert await ask(proxy, agent, Reply(list(map(frame, run(*say("Six."))))), stream=stream) == SIX


async def test_a_run_under_another_name_streams_when_it_can_be_no_replay(ag_ui: Front, agent: Agent) -> None:
    goes_on = asyncio.Event()
    first, *rest = say("Six"), say(".")
    frames = [frame(started()), *map(frame, first), goes_on, *map(frame, [*rest[0], finished()])]
    agent.replies("/harbor", Reply(frames))
    client = await ag_ui(upstream=f"{agent.url}/harbor")
    stream = await client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": "?"}], stream=True
    )
    pieces: list[str] = []
    async for chunk in stream:
        pieces.append(chunk.choices[0].delta.content or "")
        if "Six" in pieces:
            goes_on.set()
    assert "".join(pieces) == "Six."


@both_ways
async def test_replays_that_come_one_by_one_are_replays(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    """Each of them has the time of a replay."""

    def reply(asked: Exchange) -> Reply:
        replays = [step for _ in range(4) for step in (frame(OLD[0]), 0.3, *map(frame, OLD[1:]))]
        return Reply([*replays, *map(frame, asked_for(run(*say("Six.")), asked.json))])

    assert await ask(proxy, agent, reply, stream=stream) == SIX


async def test_another_run_behind_one_that_was_read_is_an_error(proxy: StartProxy, agent: Agent) -> None:
    reply = Reply(
        [
            *map(frame, [started("r0"), *say("Before.")]),
            1.0,
            *map(frame, [finished("r0"), *run(*say("Six."))]),
        ]
    )
    assert await ask(proxy, agent, reply, stream=True) is FAILED
