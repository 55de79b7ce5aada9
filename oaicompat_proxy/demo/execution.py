"""Runs a script as one Agentick execution: all of its events, in the order of a real gateway. Pure.

`Execution.run` is a generator, and `runs.Run` acts on each item it yields: bytes are sent, a `Pause` is slept, and
`AwaitConfirmation` is answered with `send(True)` or `send(False)`. Source: real `POST /send` bodies of release 0.9.4.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import model_frames
from .agents import Agent, Tool
from .frames import FrameFactory, envelope, transport_error
from .message_stream import Item, Message, RunFailed
from .script import Script, ScriptedToolCall, Spawn, Tick, Usage, parse_arguments
from .tool_runner import RunItems, run_tools

ABORTED = "Execution aborted"
CHILD = Agent("child", "Child", "An agent inside an agent", "demo-model-1")

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunContext:
    """The agent, the tools of this run, and the session's timeline before it."""

    agent: Agent
    tools: tuple[Tool, ...] = ()
    timeline: Sequence[Entry] = ()


class Execution:
    """One execution. `entries` are what it adds to the session's timeline if it succeeds."""

    def __init__(self, script: Script, frames: FrameFactory, context: RunContext, messages: Sequence[Entry]) -> None:
        self.frames = frames
        self._script = script
        self._context = context
        self._messages = messages
        """The messages of the request that the gateway accepted."""
        # state
        self.entries: list[Entry] = []
        self.failed = False
        self.response = ""
        self._usage = Usage()
        self._finished = 0

    def run(self) -> RunItems:
        """The whole execution. If it fails, the last frames report the error."""
        try:
            yield from self.events()
        except RunFailed as failure:
            self.failed = True
            yield self._end(self._finished + 1, error={"message": str(failure), "name": "Error"})
            yield transport_error(self.frames.session_id, str(failure))

    def closing_frames(self) -> list[bytes]:
        """The synthetic `execution_end` with which the gateway ends the stream of a run that did not fail."""
        return [] if self.failed else [envelope("execution_end", self.frames.session_id, {})]

    def abort_frames(self) -> list[bytes]:
        """The frames that end an aborted run."""
        self.failed = True
        end = self._end(self._finished + 1, aborted=True)
        return [end, transport_error(self.frames.session_id, ABORTED)]

    def events(self) -> RunItems:
        """The execution's own events. A child execution has only these."""
        frames = self.frames
        at = {"executionId": frames.execution_id, "timestamp": frames.stamps.time()}
        yield frames.engine_event("execution_start", 1, **at)
        for number, tick in enumerate(self._script.ticks, 1):
            yield from self._tick(number, tick)
        last = self._finished + 1
        result = {"response": self.response, "outputs": {}, "usage": self.total()}
        yield frames.engine_event("result", last, result=result, timestamp=frames.stamps.time())
        yield self._end(last, output=self._output())

    def _tick(self, number: int, tick: Tick) -> RunItems:
        frames, context = self.frames, self._context
        streaming = context.agent.streaming
        yield frames.engine_event("tick_start", number, tick=number, timestamp=frames.stamps.time())
        prompt = self._prompt()
        yield from model_frames.request_frames(frames, number, context.agent, context.tools, prompt, tick.padding)
        message = Message(frames if streaming else replace(frames, sequence=int), context.agent.model)
        prompt_usage = Usage(sum(model_frames.word_count(each) for each in prompt))
        usage = yield from (self._streamed if streaming else self._whole)(tick, message, prompt_usage)
        reply = self._entry({"role": "assistant", "content": message.content}, "model_output")
        yield model_frames.response_frame(frames, number, context.agent, tick, usage, reply, message.calls)
        if not streaming:
            yield from self._calls_without_stream(number, message.calls)
        results = yield from run_tools(frames, number, message.calls, self._spawn)
        yield from self._commit(number, reply, results)
        self._usage += usage
        self._finished += 1
        self.response = message.answer or self.response
        yield from self._tick_end(number, tick, usage)

    def _streamed(self, tick: Tick, message: Message, prompt_usage: Usage) -> Generator[Item, None, Usage]:
        frames = self.frames
        for step in tick.steps:
            yield from message.stream(step)
        yield from message.close()
        usage = tick.usage or prompt_usage + Usage(output=message.words)
        shown = Usage() if tick.usage_late else usage
        yield frames.model_event("message_end", stopReason=tick.stop_reason, usage=shown.json())
        yield frames.model_event(
            "message",
            message={"role": "assistant", "content": message.content},
            stopReason=tick.stop_reason,
            usage=usage.json(),
            model=self._context.agent.model,
            startedAt=message.started_at,
            completedAt=frames.stamps.time(),
        )
        return usage

    def _whole(self, tick: Tick, message: Message, prompt_usage: Usage) -> Generator[Item, None, Usage]:
        """A model without streaming: builds the same message without its events."""
        for step in tick.steps:
            yield from (item for item in message.stream(step) if not isinstance(item, bytes))
        for _ in message.close():
            pass
        return tick.usage or prompt_usage + Usage(output=message.words)

    def _calls_without_stream(self, number: int, calls: list[ScriptedToolCall]) -> Iterator[bytes]:
        for index, call in enumerate(calls):
            known = {
                "callId": call.id,
                "blockIndex": index,
                "name": call.name,
                "input": parse_arguments(call.arguments),
            }
            now = self.frames.stamps.time()
            yield self.frames.engine_event("tool_call", number, **known, startedAt=now, completedAt=now)

    def _spawn(self, number: int, call: ScriptedToolCall, spawn: Spawn) -> RunItems:
        """The events of a child execution, between the start of its tool call and the result."""
        frames = self.frames
        spawn_id = frames.stamps.new_id()
        known = {
            "spawnId": spawn_id,
            "parentExecutionId": frames.execution_id,
            "childExecutionId": frames.stamps.new_id(),
        }
        origin = {"componentName": spawn.component, "originCallId": call.id}
        yield frames.engine_event("spawn_start", number, **known, **origin)
        content = [{"type": "text", "text": spawn.prompt}]
        user = {"role": "user", "content": content, "id": frames.stamps.new_id()}
        child = Execution(spawn.script, frames.child(spawn_id), RunContext(CHILD), [user])
        yield from child.events()
        yield frames.engine_event("spawn_end", number, **known, output=child.response, usage=child.total())

    def _commit(self, number: int, reply: Entry, results: list[Entry]) -> Iterator[bytes]:
        sent = [message for message in self._messages if message.get("role") == "user"] if number == 1 else []
        new = [*(self._entry(message, "user_input") for message in sent), reply]
        if results:
            tool = {"id": self.frames.stamps.new_id(), "kind": "message"}
            new.append({**tool, "message": {"role": "tool", "content": results}, "tags": ["tool_output"]})
        for entry in new:
            place = len(self._context.timeline) + len(self.entries)
            self.entries.append(entry)
            known = {"entry": entry, "executionId": self.frames.execution_id, "timelineIndex": place}
            yield self.frames.engine_event("entry_committed", number, **known)

    def _tick_end(self, number: int, tick: Tick, usage: Usage) -> Iterator[bytes]:
        yield self.frames.engine_event(
            "tick_end",
            number,
            tick=number,
            shouldContinue=tick.should_continue,
            usage=usage.json(),
            stopReason=tick.stop_reason,
            model=self._context.agent.model,
            timestamp=self.frames.stamps.time(),
        )
        yield model_frames.context_update_frame(self.frames, number, self._context.agent, usage, self._usage)

    def total(self) -> dict[str, int]:
        return {**self._usage.json(), "ticks": self._finished}

    def _prompt(self) -> list[Entry]:
        """The model's input: the session's messages and, in the first tick, the messages of the request."""
        past = [entry["message"] for entry in (*self._context.timeline, *self.entries)]
        new = [] if self._finished else self._messages
        system = [message for message in new if message.get("role") == "system"]
        return [*system, *past, *(message for message in new if message.get("role") != "system")]

    def _output(self) -> Entry:
        return {
            "timeline": [*self._context.timeline, *self.entries],
            "sections": {},
            "ephemeral": [],
            "system": [],
            "tools": [tool.offered() for tool in self._context.tools],
            "metadata": {},
        }

    def _entry(self, message: Entry, tag: str) -> Entry:
        return {"kind": "message", "message": message, "tags": [tag], "id": self.frames.stamps.new_id()}

    def _end(self, number: int, aborted: bool = False, **fields: Any) -> bytes:
        frames = self.frames
        return frames.engine_event(
            "execution_end",
            number,
            executionId=frames.execution_id,
            aborted=aborted,
            **{"error": fields["error"]} if "error" in fields else {},
            usage=self.total(),
            output=fields.get("output"),
            newTimelineEntries=[] if self.failed else self.entries,
            timestamp=frames.stamps.time(),
        )
