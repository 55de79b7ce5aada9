"""A script played as an agent run: all events of one execution, in the order of a real gateway. Pure.

Source: real `POST /send` bodies of release 0.9.4. The player (`runs`) asks for one item after the other and
does what it says: bytes are sent, a `Pause` is waited, an `Ask` is answered with `send(True or False)`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import model_frames as exchange
from .agents import Agent, Tool
from .frames import Stage, envelope, transport_error
from .message_stream import Item, Message, RunFailed
from .script import Call, Script, Spawn, Tick, Usage, parsed
from .tool_runner import Play, run_tools

ABORTED = "Execution aborted"
CHILD = Agent("child", "Child", "An agent inside an agent", "demo-model-1")

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: the agent, the tools of this run, and the history before it."""

    agent: Agent
    tools: tuple[Tool, ...] = ()
    timeline: Sequence[Entry] = ()


class Performance:
    """One execution. `entries` are what it adds to the session's timeline if it succeeds."""

    def __init__(self, script: Script, stage: Stage, cast: Cast, messages: Sequence[Entry]) -> None:
        # fixed
        self.stage = stage
        self._script = script
        self._cast = cast
        self._messages = messages
        """What was sent, without what the gateway has dropped."""
        # moving
        self.entries: list[Entry] = []
        self.failed = False
        self.response = ""
        self._usage = Usage()
        self._finished = 0

    def play(self) -> Play:
        """The whole execution; if it fails, with the frames that say so."""
        try:
            yield from self.events()
        except RunFailed as failure:
            self.failed = True
            yield self._end(self._finished + 1, error={"message": str(failure), "name": "Error"})
            yield transport_error(self.stage.session_id, str(failure))

    def closing(self) -> list[bytes]:
        """The frame with which the gateway closes the stream of a run that did not fail."""
        return [] if self.failed else [envelope("execution_end", self.stage.session_id, {})]

    def aborted(self) -> list[bytes]:
        """What ends a run that somebody stopped from outside."""
        self.failed = True
        end = self._end(self._finished + 1, aborted=True)
        return [end, transport_error(self.stage.session_id, ABORTED)]

    def events(self) -> Play:
        """The execution's own events, as they also run inside another execution."""
        stage = self.stage
        at = {"executionId": stage.execution_id, "timestamp": stage.stamps.time()}
        yield stage.engine("execution_start", 1, **at)
        for number, tick in enumerate(self._script.ticks, 1):
            yield from self._tick(number, tick)
        last = self._finished + 1
        result = {"response": self.response, "outputs": {}, "usage": self.total()}
        yield stage.engine("result", last, result=result, timestamp=stage.stamps.time())
        yield self._end(last, output=self._output())

    def _tick(self, number: int, tick: Tick) -> Play:
        stage, cast = self.stage, self._cast
        streaming = cast.agent.streaming
        yield stage.engine("tick_start", number, tick=number, timestamp=stage.stamps.time())
        prompt = self._prompt()
        yield from exchange.request(stage, number, cast.agent, cast.tools, prompt, tick.padding)
        message = Message(stage if streaming else replace(stage, sequence=int), cast.agent.model)
        spent = Usage(sum(exchange.words_in(said) for said in prompt))
        usage = yield from (self._streamed if streaming else self._whole)(tick, message, spent)
        reply = self._entry({"role": "assistant", "content": message.content}, "model_output")
        yield exchange.response(stage, number, cast.agent, tick, usage, reply, message.calls)
        if not streaming:
            yield from self._bare_calls(number, message.calls)
        results = yield from run_tools(stage, number, message.calls, self._spawn)
        yield from self._commit(number, reply, results)
        self._usage += usage
        self._finished += 1
        self.response = message.answer or self.response
        yield from self._tick_end(number, tick, usage)

    def _streamed(self, tick: Tick, message: Message, spent: Usage) -> Generator[Item, None, Usage]:
        stage = self.stage
        for step in tick.steps:
            yield from message.play(step)
        yield from message.close()
        usage = tick.usage or spent + Usage(output=message.words)
        shown = Usage() if tick.usage_late else usage
        yield stage.model("message_end", stopReason=tick.stop, usage=shown.json())
        yield stage.model(
            "message",
            message={"role": "assistant", "content": message.content},
            stopReason=tick.stop,
            usage=usage.json(),
            model=self._cast.agent.model,
            startedAt=message.since,
            completedAt=stage.stamps.time(),
        )
        return usage

    def _whole(self, tick: Tick, message: Message, spent: Usage) -> Generator[Item, None, Usage]:
        """A model without streaming: the same message, but none of its events."""
        for step in tick.steps:
            yield from (item for item in message.play(step) if not isinstance(item, bytes))
        for _ in message.close():
            pass
        return tick.usage or spent + Usage(output=message.words)

    def _bare_calls(self, number: int, calls: list[Call]) -> Iterator[bytes]:
        for index, call in enumerate(calls):
            known = {"callId": call.id, "blockIndex": index, "name": call.name, "input": parsed(call.arguments)}
            now = self.stage.stamps.time()
            yield self.stage.engine("tool_call", number, **known, startedAt=now, completedAt=now)

    def _spawn(self, number: int, call: Call, spawn: Spawn) -> Play:
        """A child execution, forwarded between the call's start and its result."""
        stage = self.stage
        spawn_id = stage.stamps.new_id()
        known = {
            "spawnId": spawn_id,
            "parentExecutionId": stage.execution_id,
            "childExecutionId": stage.stamps.new_id(),
        }
        origin = {"componentName": spawn.component, "originCallId": call.id}
        yield stage.engine("spawn_start", number, **known, **origin)
        content = [{"type": "text", "text": spawn.prompt}]
        user = {"role": "user", "content": content, "id": stage.stamps.new_id()}
        child = Performance(spawn.script, stage.child(spawn_id), Cast(CHILD), [user])
        yield from child.events()
        yield stage.engine("spawn_end", number, **known, output=child.response, usage=child.total())

    def _commit(self, number: int, reply: Entry, results: list[Entry]) -> Iterator[bytes]:
        said = [message for message in self._messages if message.get("role") == "user"] if number == 1 else []
        new = [*(self._entry(message, "user_input") for message in said), reply]
        if results:
            tool = {"id": self.stage.stamps.new_id(), "kind": "message"}
            new.append({**tool, "message": {"role": "tool", "content": results}, "tags": ["tool_output"]})
        for entry in new:
            place = len(self._cast.timeline) + len(self.entries)
            self.entries.append(entry)
            known = {"entry": entry, "executionId": self.stage.execution_id, "timelineIndex": place}
            yield self.stage.engine("entry_committed", number, **known)

    def _tick_end(self, number: int, tick: Tick, usage: Usage) -> Iterator[bytes]:
        yield self.stage.engine(
            "tick_end",
            number,
            tick=number,
            shouldContinue=tick.go_on,
            usage=usage.json(),
            stopReason=tick.stop,
            model=self._cast.agent.model,
            timestamp=self.stage.stamps.time(),
        )
        yield exchange.context_update(self.stage, number, self._cast.agent, usage, self._usage)

    def total(self) -> dict[str, int]:
        return {**self._usage.json(), "ticks": self._finished}

    def _prompt(self) -> list[Entry]:
        """What the model reads: the session's messages and, in the first tick, all that was sent."""
        past = [entry["message"] for entry in (*self._cast.timeline, *self.entries)]
        new = [] if self._finished else self._messages
        system = [message for message in new if message.get("role") == "system"]
        return [*system, *past, *(message for message in new if message.get("role") != "system")]

    def _output(self) -> Entry:
        return {
            "timeline": [*self._cast.timeline, *self.entries],
            "sections": {},
            "ephemeral": [],
            "system": [],
            "tools": [tool.offered() for tool in self._cast.tools],
            "metadata": {},
        }

    def _entry(self, message: Entry, tag: str) -> Entry:
        return {"kind": "message", "message": message, "tags": [tag], "id": self.stage.stamps.new_id()}

    def _end(self, number: int, aborted: bool = False, **fields: Any) -> bytes:
        stage = self.stage
        return stage.engine(
            "execution_end",
            number,
            executionId=stage.execution_id,
            aborted=aborted,
            **{"error": fields["error"]} if "error" in fields else {},
            usage=self.total(),
            output=fields.get("output"),
            newTimelineEntries=[] if self.failed else self.entries,
            timestamp=stage.stamps.time(),
        )
