"""Translates the events of one run into the parts of one answer.

A run may have many ticks, messages, repeated ends and sub-agents; its answer has one start, one finish reason and one
end (decisions D2 and D3). Call `feed()` for each event and send the returned parts until `ended` is true. Call
`finish()` at the end of the agent's stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.answer import AnswerFinished, AnswerStarted, FinishReason, Part, ToolCallOpened, UsageTotals
from ..core.answer_options import AnswerOptions
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
from .agent_tools import new_agent_tools
from .answer_text import AnswerText
from .buffer_limit import MAX_BUFFERED, BufferLimit
from .confirmations import CONFIRM_TOOL, question_arguments
from .tool_calls import ToolCalls
from .usage import UsageMeter

FINISH_REASONS = {"max_tokens": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}
"""Finish reasons by the agent's stop reason. All other stop reasons mean that the answer is complete."""

NO_TOOLS: frozenset[str] = frozenset()
"""Shared by all answers: a frozenset takes 216 bytes."""


class Translator:
    """Translates one run. `feed` and `finish` raise the error that the client gets instead of an answer."""

    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    """Tokens of the run, once the answer has ended."""
    waits_for_client = False
    """The answer ended with a question, and the run still waits for the client's reply."""
    denied_call: str | None = None
    """The agent's id of a call that waited for a confirmation and was denied."""

    def __init__(
        self,
        options: AnswerOptions,
        sign: Callable[[str], str] = str,
        shorten: Callable[[str], str] = str,
        secret: str = "",
        max_buffered: int = MAX_BUFFERED,
    ) -> None:
        """`options`: of the answer. `confirmations` among them are for a tool that waits for one: `deny` fails, `ask`
        asks the client, `approve` leaves it to the reader of the run. `sign` and `shorten` make the client's id of a
        question, or of a call, from the agent's. `secret`: removed from texts of failures. `max_buffered`: bounds the
        tool calls and citations in memory.
        """
        self._confirmations = options.confirmations
        self._sign = sign
        self._secret = secret
        self._model = options.model
        limit = BufferLimit(max_buffered)
        self._text = AnswerText(options.tick_separator, limit)
        self._agent_tools = new_agent_tools(options.server_tools, self._text, options.tool_output_max)
        self._calls = ToolCalls(frozenset(options.tool_names) if options.tool_names else NO_TOOLS, limit, shorten)
        self._usage = UsageMeter()
        # state
        self.ticks = 0
        self.ended = False
        """The answer is complete: no part follows."""
        self._started = False
        self._stop_reason = ""
        self._continues = self._message_ended = self._message_awaited = False
        """`_message_awaited`: the message calls a tool, and its text comes later."""
        self._model_failure = ""

    def feed(self, event: Event) -> list[Part]:
        """The parts to send now. Raises ProxyError if the run failed."""
        if type(event) is TextDeltas and self._started and not self.ended:  # most events of a stream
            return self._text.add_batch(event)
        handle = _HANDLERS.get(type(event))
        if handle is None or self.ended:
            return []
        parts = handle(self, event)
        return self._start(parts) if parts and not self._started else parts

    def open(self) -> list[Part]:
        """AnswerStarted, if it was not sent: starts the answer for a client that has waited long enough."""
        return [] if self._started else self._start([])

    def usage_so_far(self) -> Usage | None:
        """Tokens that the agent has reported, also of an answer that was broken off. No events may follow."""
        return self.usage or self._usage.total()

    def finish(self) -> None:
        """Ends the agent's stream. Raises UpstreamInterrupted if it had no RunEnded or RunFailed."""
        if self.ended:
            return
        if self._model_failure:
            raise failures.classify(self._model_failure, secret=self._secret)
        raise UpstreamInterrupted(
            "The agent's stream ended before the agent said that it was done; the answer is incomplete."
        )

    def _start(self, parts: list[Part]) -> list[Part]:
        self._started = True
        return [AnswerStarted(with_text=not (parts and isinstance(parts[0], ToolCallOpened))), *parts]

    # messages

    def _end_message(self, event: MessageEnded) -> list[Part]:
        stop_reason, usage = event
        self._stop_reason = stop_reason or self._stop_reason
        self._usage.add_message(usage)
        self._message_ended = True
        parts = self._calls.end_message() if self._calls.in_tick else []
        if self._usage.has_message:
            parts += self._end_for_client()
        return parts

    def _complete_message(self, event: MessageCompleted) -> list[Part]:
        """Adds the usage of the whole message, and its text if the text was not streamed."""
        self._stop_reason = event.stop_reason or self._stop_reason
        self._usage.add_message(event.usage)
        return self._text.add_missing(event) + (self._end_for_client() if self._message_ended else [])

    def _add_message_usage(self, event: MessageUsed) -> list[Part]:
        self._usage.add_message(event.usage)
        return self._end_for_client() if self._message_ended else []

    # ticks and tools

    def _start_tick(self, _event: TickStarted) -> list[Part]:
        if parts := self._end_for_client():
            return parts
        shown = self._drop_calls()
        self.ticks += 1
        self._usage.start_tick()
        self._message_ended = self._message_awaited = self._continues = False
        return shown + self._text.end_tick()

    def _end_tick(self, event: TickEnded) -> list[Part]:
        self._continues, stop_reason, usage = event
        self._stop_reason = stop_reason or self._stop_reason
        self._usage.add_tick(usage)
        return self._end_for_client()

    def _end_for_client(self) -> list[Part]:
        """Ends the answer if the tick calls a tool of the client; later events of the agent are ignored."""
        if not self._calls.in_tick or not self._calls.client_must_act:
            return []
        return [*self._calls.end_message(), *self._end(self._finish_reason(FinishReason.TOOL_CALLS))]

    def _start_tool(self, _event: ToolStarted | ToolFinished) -> list[Part]:
        return [] if self._message_awaited else self._end_for_client()

    def _add_arguments(self, event: ToolCallDelta) -> list[Part]:
        if self._agent_tools is not None:
            self._agent_tools.add_arguments(event.call_id, event.arguments)
        return self._calls.add_arguments(event.call_id, event.arguments)

    def _add_call(self, event: ToolCalled) -> list[Part]:
        if self._agent_tools is not None:
            self._agent_tools.add_call(event.call_id, event.arguments)
        self._message_awaited = self._message_awaited or event.is_early
        return self._calls.add_whole(event.call_id, event.name, event.arguments, held=event.is_early)

    def _finish_tool(self, event: ToolFinished) -> list[Part]:
        if self._calls.is_declared(event.call_id):
            return self._start_tool(event)
        if not event.is_placeholder:
            self._calls.mark_handled(event.call_id)
        return [] if self._agent_tools is None else self._agent_tools.on_tool_finished(event)

    def _drop_calls(self) -> list[Part]:
        """Drops the tick's calls, which are the agent's own; their placeholder results are final now."""
        self._calls.end_tick()
        return [] if self._agent_tools is None else self._agent_tools.release_placeholders()

    def _finish_subagent(self, event: SubagentFinished) -> list[Part]:
        return [] if self._agent_tools is None else self._agent_tools.on_subagent_finished(event)

    def _confirm(self, event: ConfirmationRequired) -> list[Part]:
        if self._calls.client_must_act:
            return self._end_for_client()
        if self._confirmations == "approve":
            return []
        self.denied_call = event.call_id
        if self._confirmations == "ask":
            question_id, arguments = self._sign(event.call_id), question_arguments(event)
            question = self._calls.add_proxy_call(question_id, CONFIRM_TOOL, arguments, needs_words=event.needs_words)
            self.waits_for_client, self.denied_call = True, None
            return [*question, *self._end(FinishReason.TOOL_CALLS)]
        raise failures.confirmation_denied(event)

    # the end

    def _keep_failure(self, event: ModelFailed) -> list[Part]:
        self._model_failure = event.message or "The agent's model failed."
        return []

    def _add_result(self, event: RunResult) -> list[Part]:
        text, stop_reason, usage = event
        self._stop_reason = stop_reason or self._stop_reason
        self._usage.add_run(usage)
        return [] if self._text.has_text else self._text.add_text(text)

    def _end_run(self, event: RunEnded) -> list[Part]:
        calls = self._calls.in_tick
        if calls and self._calls.client_must_act:
            return self._end_for_client()
        if self._continues:
            # the agent wanted another tick, and its own limit of ticks did not let it
            return [*self._drop_calls(), *self._end(FinishReason.LENGTH)]
        if calls and self._calls.pending:
            if event.waits_for is not None and self._confirmations != "deny":
                return self._confirm(event.waits_for)
            return [*self._calls.release_held(), *self._end(self._finish_reason(FinishReason.TOOL_CALLS))]
        if self._model_failure and not self._text.has_text:
            raise failures.classify(self._model_failure, secret=self._secret)
        return self._end(self._finish_reason(FinishReason.STOP))

    def _fail_run(self, event: RunFailed) -> list[Part]:
        raise failures.error_of_run(event, model=self._model, secret=self._secret)

    def _finish_reason(self, natural: FinishReason) -> FinishReason:
        return FINISH_REASONS.get(self._stop_reason, natural)

    def _end(self, reason: FinishReason) -> list[Part]:
        self.ended = True
        self.finish_reason = reason
        usage = self.usage = self._usage.total()
        parts = [*self._text.end(), AnswerFinished(reason)]
        if usage is not None:
            parts.append(_totals_of(usage))
        return parts


def _totals_of(usage: Usage) -> UsageTotals:
    return UsageTotals(
        usage.input_tokens,
        usage.output_tokens,
        usage.total_tokens,
        usage.reasoning_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
    )


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
    MessageEnded: Translator._end_message,
    MessageCompleted: Translator._complete_message,
    MessageUsed: Translator._add_message_usage,
    ToolCallHandled: lambda self, event: self._calls.mark_handled(event.call_id),
    ToolStarted: Translator._start_tool,
    ToolFinished: Translator._finish_tool,
    SubagentFinished: Translator._finish_subagent,
    ConfirmationRequired: Translator._confirm,
    TickStarted: Translator._start_tick,
    TickEnded: Translator._end_tick,
    ModelFailed: Translator._keep_failure,
    RunResult: Translator._add_result,
    RunEnded: Translator._end_run,
    RunFailed: Translator._fail_run,
}
