"""Events of one run → the chunks of one answer.

However many ticks, messages, doubled ends or children a run has: one role, one finish reason, one ending
(decisions D2 and D3). Pure: `feed()` each event, send the chunks it returns, stop when `ended`; call `finish()`
when the agent's stream is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.answer import AnswerFinished, AnswerStarted, FinishReason, Part, ToolCallOpened, UsageTotals
from ..core.errors import UpstreamInterrupted
from ..core.events import (
    ConfirmationRequired,
    Event,
    MessageCompleted,
    MessageEnded,
    MessageUsed,
    ModelFailed,
    ReasoningDelta,
    ReasoningStarted,
    RunEnded,
    RunFailed,
    RunResult,
    SubagentFinished,
    TextCited,
    TextDelta,
    TextDeltas,
    TextStarted,
    TickEnded,
    TickStarted,
    ToolCallDelta,
    ToolCalled,
    ToolCallEnded,
    ToolCallHandled,
    ToolCallStarted,
    ToolFinished,
    ToolStarted,
    Usage,
)
from . import failures
from .answer_text import AnswerText
from .confirmations import CONFIRM_TOOL, describe
from .held import MOST, Held
from .narration import Narrator, tell_child
from .tool_calls import ToolCalls
from .usage import UsageMeter

FINISH_REASONS = {"max_tokens": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}
"""By the agent's stop reason. All others mean that the answer is complete."""


class Translator:
    """Translates one run. `feed` and `finish` raise what the client must be told instead of an answer."""

    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    """What the run used, once the answer has its end."""
    waits_for_client = False
    """The answer ended with a question that the run still waits for."""
    denied_call: str | None = None
    """The agent's call that waits for a confirmation, and was not given one."""

    def __init__(
        self,
        *,
        model: str,
        tool_names: frozenset[str],
        tick_separator: str,
        server_tools: str = "hide",
        confirmations: str = "deny",
        sign: Callable[[str], str] = str,
        shorten: Callable[[str], str] = str,
        secret: str = "",
        max_held: int = MOST,
    ) -> None:
        """`model`: the name the client used. `tool_names`: the tools it declared.

        `server_tools`: where to tell what the agent's own tools did: `hide`, `reasoning` or `content`.
        `confirmations`: what to do with a tool that waits for a human: `deny` fails, `ask` asks the client,
        `approve` leaves it to whoever reads the run. `sign` and `shorten` make the client's id of a question, or of a
        call, from the agent's. `secret`: must not be told in words of failure. `max_held`: bounds what is held back.
        """
        self._confirmations = confirmations
        self._sign = sign
        self._secret = secret
        self._model = model
        self._narrator = None if server_tools == "hide" else Narrator()
        self._narrates_in_content = server_tools == "content"
        self._text = AnswerText(tick_separator, held := Held(max_held))
        self._calls = ToolCalls(tool_names, held, shorten)
        self._usage = UsageMeter()
        # moving
        self.ticks = 0
        self.ended = False
        """The answer has its one ending: nothing may follow."""
        self._opened = False
        self._stop_reason = ""
        self._continues = self._message_ended = False
        self._message_awaited = False
        """It calls a tool, and its text comes later."""
        self._model_failure = ""

    def feed(self, event: Event) -> list[Part]:
        """The parts to send now. Raises AgentError and its kin when the run failed."""
        if type(event) is TextDeltas and self._opened and not self.ended:  # most of a stream is this
            return self._text.add_batch(event)
        handle = _HANDLERS.get(type(event))
        if handle is None or self.ended:
            return []
        chunks = handle(self, event)
        if chunks and not self._opened:
            chunks = self._open(chunks)
        return chunks

    def open(self) -> list[Part]:
        """The role chunk, if it is not out yet: for a client that has waited long enough."""
        return [] if self._opened else self._open([])

    def finish(self) -> None:
        """The agent's stream is over. Raises UpstreamInterrupted if it lacked the agent's last word."""
        if self.ended:
            return
        if self._model_failure:
            raise failures.classify(self._model_failure, secret=self._secret)
        raise UpstreamInterrupted(
            "The agent's stream ended before the agent said that it was done; the answer is incomplete."
        )

    def _open(self, chunks: list[Part]) -> list[Part]:
        self._opened = True
        return [AnswerStarted(with_text=not (chunks and isinstance(chunks[0], ToolCallOpened))), *chunks]

    # what the model says

    def _message_end(self, event: MessageEnded) -> list[Part]:
        stop_reason, usage = event
        self._stop_reason = stop_reason or self._stop_reason
        self._usage.note_message(usage)
        self._message_ended = True
        chunks = self._calls.end_message() if self._calls.in_tick else []
        if self._usage.knows_message:
            chunks += self._end_for_client()
        return chunks

    def _message(self, event: MessageCompleted) -> list[Part]:
        """A copy of the message: of use where the model did not stream it, and for what it used."""
        self._stop_reason = event.stop_reason or self._stop_reason
        self._usage.note_message(event.usage)
        return self._text.add_missing(event) + (self._end_for_client() if self._message_ended else [])

    def _message_used(self, event: MessageUsed) -> list[Part]:
        self._usage.note_message(event.usage)
        return self._end_for_client() if self._message_ended else []

    # what the agent does

    def _tick_start(self, _event: TickStarted) -> list[Part]:
        if chunks := self._end_for_client():
            return chunks
        told = self._forget_calls()
        self.ticks += 1
        self._usage.start_tick()
        self._message_ended = self._message_awaited = self._continues = False
        return told + self._text.end_tick()

    def _tick_end(self, event: TickEnded) -> list[Part]:
        self._continues, stop_reason, usage = event
        self._stop_reason = stop_reason or self._stop_reason
        self._usage.note_tick(usage)
        return self._end_for_client()

    def _end_for_client(self) -> list[Part]:
        """The tick that calls the client's tool ends the answer; what the agent does next is its own affair."""
        if not self._calls.in_tick or not self._calls.client_must_act:
            return []
        return [*self._calls.end_message(), *self._end(self._finish_reason(FinishReason.TOOL_CALLS))]

    def _tool_start(self, _event: ToolStarted | ToolFinished) -> list[Part]:
        return [] if self._message_awaited else self._end_for_client()

    def _add_arguments(self, event: ToolCallDelta) -> list[Part]:
        if self._narrator is not None:
            self._narrator.note_arguments(event.call_id, event.arguments)
        return self._calls.add_arguments(event.call_id, event.arguments)

    def _add_call(self, event: ToolCalled) -> list[Part]:
        if self._narrator is not None:
            self._narrator.note_call(event.call_id, event.arguments)
        self._message_awaited = self._message_awaited or event.is_early
        return self._calls.add_whole(event.call_id, event.name, event.arguments, held=event.is_early)

    def _tool_finish(self, event: ToolFinished) -> list[Part]:
        if self._calls.is_clients(event.call_id):
            return self._tool_start(event)
        if not event.is_placeholder:
            self._calls.settle(event.call_id)
        return [] if self._narrator is None else self._tell(*self._narrator.tell_tool(event))

    def _forget_calls(self) -> list[Part]:
        """The run does not hand them out, so what was put in the place of their results was the last word."""
        self._calls.forget()
        return [] if self._narrator is None else self._tell(*self._narrator.tell_placeholders())

    def _tell(self, *lines: str) -> list[Part]:
        return [
            chunk for line in lines for chunk in self._text.add_narration(line, in_content=self._narrates_in_content)
        ]

    def _confirmation(self, event: ConfirmationRequired) -> list[Part]:
        if self._calls.client_must_act:
            return self._end_for_client()
        if self._confirmations == "approve":
            return []
        self.denied_call = event.call_id
        if self._confirmations == "ask":
            question = self._calls.ask(self._sign(event.call_id), CONFIRM_TOOL, describe(event))
            self.waits_for_client, self.denied_call = True, None
            return [*question, *self._end(FinishReason.TOOL_CALLS)]
        raise failures.unanswered(event)

    # how it ends

    def _model_error(self, event: ModelFailed) -> list[Part]:
        self._model_failure = event.message or "The agent's model failed."
        return []

    def _result(self, event: RunResult) -> list[Part]:
        text, stop_reason, usage = event
        self._stop_reason = stop_reason or self._stop_reason
        self._usage.note_run(usage)
        return [] if self._text.has_text else self._text.add_text(text)

    def _run_end(self, event: RunEnded) -> list[Part]:
        calls = self._calls.in_tick
        if calls and self._calls.client_must_act:
            return self._end_for_client()
        if self._continues:
            return [
                *self._forget_calls(),
                *self._end(FinishReason.LENGTH),
            ]  # the agent wanted to go on: its own limit of ticks
        if calls and self._calls.pending:
            if event.waits_for is not None and self._confirmations != "deny":
                return self._confirmation(event.waits_for)
            return [*self._calls.hand_out(), *self._end(self._finish_reason(FinishReason.TOOL_CALLS))]
        if self._model_failure and not self._text.has_text:
            raise failures.classify(self._model_failure, secret=self._secret)
        return self._end(self._finish_reason(FinishReason.STOP))

    def _run_failure(self, event: RunFailed) -> list[Part]:
        raise failures.from_run(event, model=self._model, secret=self._secret)

    def _finish_reason(self, natural: FinishReason) -> FinishReason:
        return FINISH_REASONS.get(self._stop_reason, natural)

    def _end(self, reason: FinishReason) -> list[Part]:
        self.ended = True
        self.finish_reason = reason
        usage = self.usage = self._usage.total()
        chunks = [*self._text.end(), AnswerFinished(reason)]
        if usage is not None:
            chunks.append(UsageTotals(*usage))
        return chunks


_HANDLERS: dict[type[Any], Callable[[Translator, Any], list[Part]]] = {
    TextStarted: lambda self, event: self._text.start_block(new_message=event.new_message),
    TextDelta: lambda self, event: self._text.add_text(event.text),
    TextDeltas: lambda self, event: self._text.add_batch(event),
    TextCited: lambda self, event: self._text.add_citations(event.citations),
    ReasoningStarted: lambda self, event: self._text.start_reasoning(),
    ReasoningDelta: lambda self, event: self._text.add_reasoning(event.text),
    ToolCallStarted: lambda self, event: self._calls.start(event.call_id, event.name),
    ToolCallDelta: Translator._add_arguments,
    ToolCallEnded: lambda self, event: self._calls.end(event.call_id),
    ToolCalled: Translator._add_call,
    MessageEnded: Translator._message_end,
    MessageCompleted: Translator._message,
    MessageUsed: Translator._message_used,
    ToolCallHandled: lambda self, event: self._calls.settle(event.call_id),
    ToolStarted: Translator._tool_start,
    ToolFinished: Translator._tool_finish,
    SubagentFinished: lambda self, event: [] if self._narrator is None else self._tell(tell_child(event)),
    ConfirmationRequired: Translator._confirmation,
    TickStarted: Translator._tick_start,
    TickEnded: Translator._tick_end,
    ModelFailed: Translator._model_error,
    RunResult: Translator._result,
    RunEnded: Translator._run_end,
    RunFailed: Translator._run_failure,
}
