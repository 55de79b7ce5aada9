"""One message of the model while it streams: which blocks are open, and what closes them. Pure.

The order is the real gateway's: a tool call closes the text before it, reasoning stays open until the
message ends, a call that the provider never closed is closed there too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from .frames import Stage
from .script import Call, Cut, Fail, Hang, Pause, Raw, Report, Say, Step, Think, count, parsed

BEAT = Pause()
Item = bytes | Pause | Hang | Cut


class RunFailed(Exception):
    """The model call raised."""


class Message:
    """Play each step, then `close`; `content` and `calls` are then what the message holds."""

    def __init__(self, stage: Stage, model: str) -> None:
        # fixed
        self._stage = stage
        self._model = model
        self._plays = {
            Say: self._say,
            Think: self._think,
            Call: self._call,
            Report: self._report,
        }
        # moving
        self.since = ""
        """When it began; empty until then."""
        self.reasoning: list[str] = []
        self.text: list[str] = []
        self.calls: list[Call] = []
        self._texts: list[str] = []
        self._unended: list[tuple[Call, int, str]] = []
        self._since: dict[str, str] = {}
        self._index = 0

    @property
    def content(self) -> list[dict[str, Any]]:
        thoughts = [{"type": "reasoning", "text": "".join(self.reasoning)}] if self.reasoning else []
        texts = [{"type": "text", "text": text} for text in self._texts]
        return [*thoughts, *texts, *(tool_use(call) for call in self.calls)]

    @property
    def answer(self) -> str:
        """The text that the engine takes for the message's answer: its first block."""
        return self._texts[0] if self._texts else ""

    @property
    def words(self) -> int:
        arguments = [piece for call in self.calls for piece in call.arguments]
        return count(self.reasoning) + count(self._texts) + count(arguments)

    def play(self, step: Step) -> Iterator[Item]:
        if isinstance(step, Pause | Hang | Cut):
            yield step
        elif isinstance(step, Raw):
            yield step.data
        elif isinstance(step, Fail):
            raise RunFailed(step.message)
        else:
            yield from self._open()
            yield from self._plays[type(step)](step)

    def close(self) -> Iterator[Item]:
        yield from self._open()
        yield from self._close_text()
        for call, index, since in self._unended:
            yield self._stage.model("tool_call_end", callId=call.id, blockIndex=index)
            yield self._whole_call(call, index, since)
        if self.reasoning:
            whole, span = "".join(self.reasoning), self._span(self._since["reasoning"])
            yield self._stage.model("reasoning_end", blockIndex=0)
            yield self._stage.model("reasoning", blockIndex=0, reasoning=whole, **span)

    def _open(self) -> Iterator[Item]:
        """`message_start` comes with the model's first word, so a call that fails at once has none."""
        if not self.since:
            self.since = self._stage.stamps.time()
            yield self._stage.model("message_start", role="assistant", model=self._model)

    def _say(self, step: Any) -> Iterator[Item]:
        place = {"blockType": "text", "blockIndex": self._index}
        if not self.text:
            self._since["text"] = self._stage.stamps.time()
            yield self._stage.model("content_start", **place)
        for piece in step.pieces:
            self.text.append(piece)
            yield self._stage.model("content_delta", **place, delta=piece)
            yield BEAT

    def _think(self, step: Any) -> Iterator[Item]:
        if not self.reasoning:
            self._since["reasoning"] = self._stage.stamps.time()
            yield self._stage.model("reasoning_start", blockIndex=0)
        for piece in step.pieces:
            self.reasoning.append(piece)
            yield self._stage.model("reasoning_delta", blockIndex=0, delta=piece)
            yield BEAT

    def _close_text(self) -> Iterator[Item]:
        if not self.text:
            return
        block = {"type": "text", "text": "".join(self.text)}
        self._texts.append(block["text"])
        self.text = []
        yield self._stage.model("content_end", blockType="text", blockIndex=self._index)
        span = self._span(self._since["text"])
        yield self._stage.model("content", blockIndex=self._index, content=block, **span)
        self._index += 1

    def _call(self, step: Any) -> Iterator[Item]:
        yield from self._close_text()
        since = self._stage.stamps.time()
        together = [step, step.interleaved] if step.interleaved else [step]
        if step.deltas:
            yield from self._call_deltas(together)
        for call in together:
            if not call.ended:
                self._unended.append((call, self._index, since))
                self.calls.append(call)
                continue
            if call.deltas:
                yield self._stage.model("tool_call_end", callId=call.id, blockIndex=self._index)
            for _ in range(call.copies):
                self.calls.append(call)
                yield self._whole_call(call, self._index, since)
        self._index += 1

    def _call_deltas(self, together: list[Call]) -> Iterator[Item]:
        for call in together:
            yield self._stage.model("tool_call_start", callId=call.id, name=call.name, blockIndex=self._index)
        for pieces in zip_longest(*(call.arguments for call in together)):
            for call, piece in zip(together, pieces, strict=True):
                if piece is not None:
                    place = {"callId": call.id, "blockIndex": self._index}
                    yield self._stage.model("tool_call_delta", **place, delta=piece)
            yield BEAT

    def _whole_call(self, call: Call, index: int, since: str) -> bytes:
        known = {"callId": call.id, "name": call.name, "input": parsed(call.arguments), "blockIndex": index}
        return self._stage.model("tool_call", **known, **self._span(since))

    def _report(self, step: Any) -> Iterator[Item]:
        yield self._stage.model("error", error={"message": step.message, "code": step.code})

    def _span(self, since: str) -> dict[str, str]:
        return {"startedAt": since, "completedAt": self._stage.stamps.time()}


def tool_use(call: Call) -> dict[str, Any]:
    return {"type": "tool_use", "toolUseId": call.id, "name": call.name, "input": parsed(call.arguments)}
