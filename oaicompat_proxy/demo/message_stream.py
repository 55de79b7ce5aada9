"""Streams one message of the model: opens and closes its blocks in the order of the real gateway. Pure.

A tool call closes the text block before it. Reasoning, and a call that the provider never ended, are closed when the
message ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from .frames import FrameFactory
from .script import (
    DropConnection,
    FailRun,
    Hang,
    Pause,
    Raw,
    ReportError,
    Say,
    ScriptedToolCall,
    Step,
    Think,
    count_words,
    parse_arguments,
)

WORD_PAUSE = Pause()
Item = bytes | Pause | Hang | DropConnection


class RunFailed(Exception):
    """The model call has failed."""


class Message:
    """Call `stream` for each step, then `close`. After that, `content` and `calls` are complete."""

    def __init__(self, frames: FrameFactory, model: str) -> None:
        self._frames = frames
        self._model = model
        self._handlers = {
            Say: self._say,
            Think: self._think,
            ScriptedToolCall: self._call,
            ReportError: self._report,
        }
        # state
        self.started_at = ""
        """Timestamp of `message_start`; empty before it."""
        self.reasoning: list[str] = []
        self.text: list[str] = []
        self.calls: list[ScriptedToolCall] = []
        self._texts: list[str] = []
        self._unfinished_calls: list[tuple[ScriptedToolCall, int, str]] = []
        self._block_started_at: dict[str, str] = {}
        self._index = 0

    @property
    def content(self) -> list[dict[str, Any]]:
        reasoning = [{"type": "reasoning", "text": "".join(self.reasoning)}] if self.reasoning else []
        texts = [{"type": "text", "text": text} for text in self._texts]
        return [*reasoning, *texts, *(tool_use(call) for call in self.calls)]

    @property
    def answer(self) -> str:
        """The first text block, which the engine uses as the message's answer."""
        return self._texts[0] if self._texts else ""

    @property
    def words(self) -> int:
        arguments = [piece for call in self.calls for piece in call.arguments]
        return count_words(self.reasoning) + count_words(self._texts) + count_words(arguments)

    def stream(self, step: Step) -> Iterator[Item]:
        if isinstance(step, Pause | Hang | DropConnection):
            yield step
        elif isinstance(step, Raw):
            yield step.data
        elif isinstance(step, FailRun):
            raise RunFailed(step.message)
        else:
            yield from self._open()
            yield from self._handlers[type(step)](step)

    def close(self) -> Iterator[Item]:
        yield from self._open()
        yield from self._close_text()
        for call, index, since in self._unfinished_calls:
            yield self._frames.model_event("tool_call_end", callId=call.id, blockIndex=index)
            yield self._complete_call(call, index, since)
        if self.reasoning:
            whole, span = "".join(self.reasoning), self._span(self._block_started_at["reasoning"])
            yield self._frames.model_event("reasoning_end", blockIndex=0)
            yield self._frames.model_event("reasoning", blockIndex=0, reasoning=whole, **span)

    def _open(self) -> Iterator[Item]:
        """`message_start` precedes the model's first output, so a model call that fails at once has none."""
        if not self.started_at:
            self.started_at = self._frames.stamps.time()
            yield self._frames.model_event("message_start", role="assistant", model=self._model)

    def _say(self, step: Any) -> Iterator[Item]:
        place = {"blockType": "text", "blockIndex": self._index}
        if not self.text:
            self._block_started_at["text"] = self._frames.stamps.time()
            yield self._frames.model_event("content_start", **place)
        for piece in step.pieces:
            self.text.append(piece)
            yield self._frames.model_event("content_delta", **place, delta=piece)
            yield WORD_PAUSE

    def _think(self, step: Any) -> Iterator[Item]:
        if not self.reasoning:
            self._block_started_at["reasoning"] = self._frames.stamps.time()
            yield self._frames.model_event("reasoning_start", blockIndex=0)
        for piece in step.pieces:
            self.reasoning.append(piece)
            yield self._frames.model_event("reasoning_delta", blockIndex=0, delta=piece)
            yield WORD_PAUSE

    def _close_text(self) -> Iterator[Item]:
        if not self.text:
            return
        block = {"type": "text", "text": "".join(self.text)}
        self._texts.append(block["text"])
        self.text = []
        yield self._frames.model_event("content_end", blockType="text", blockIndex=self._index)
        span = self._span(self._block_started_at["text"])
        yield self._frames.model_event("content", blockIndex=self._index, content=block, **span)
        self._index += 1

    def _call(self, step: Any) -> Iterator[Item]:
        yield from self._close_text()
        since = self._frames.stamps.time()
        parallel = [step, step.interleaved] if step.interleaved else [step]
        if step.deltas:
            yield from self._call_deltas(parallel)
        for call in parallel:
            if not call.ended:
                self._unfinished_calls.append((call, self._index, since))
                self.calls.append(call)
                continue
            if call.deltas:
                yield self._frames.model_event("tool_call_end", callId=call.id, blockIndex=self._index)
            for _ in range(call.copies):
                self.calls.append(call)
                yield self._complete_call(call, self._index, since)
        self._index += 1

    def _call_deltas(self, parallel: list[ScriptedToolCall]) -> Iterator[Item]:
        for call in parallel:
            yield self._frames.model_event("tool_call_start", callId=call.id, name=call.name, blockIndex=self._index)
        for pieces in zip_longest(*(call.arguments for call in parallel)):
            for call, piece in zip(parallel, pieces, strict=True):
                if piece is not None:
                    place = {"callId": call.id, "blockIndex": self._index}
                    yield self._frames.model_event("tool_call_delta", **place, delta=piece)
            yield WORD_PAUSE

    def _complete_call(self, call: ScriptedToolCall, index: int, since: str) -> bytes:
        fields = {"callId": call.id, "name": call.name, "input": parse_arguments(call.arguments), "blockIndex": index}
        return self._frames.model_event("tool_call", **fields, **self._span(since))

    def _report(self, step: Any) -> Iterator[Item]:
        yield self._frames.model_event("error", error={"message": step.message, "code": step.code})

    def _span(self, since: str) -> dict[str, str]:
        return {"startedAt": since, "completedAt": self._frames.stamps.time()}


def tool_use(call: ScriptedToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "toolUseId": call.id, "name": call.name, "input": parse_arguments(call.arguments)}
