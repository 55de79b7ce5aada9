"""The parts of an answer → its output items, one after another, and their events.

Text, reasoning and the client's calls follow each other. Only calls that the agent runs itself may be open at the same
time. A call for the client stays open until the next call or the end, because no earlier part marks its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from .....core.answer import (
    AgentToolCalled,
    AgentToolReturned,
    Annotations,
    AnswerFinished,
    FinishReason,
    Part,
    ReasoningPart,
    TextBatch,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
    UrlCitation,
)
from .....core.confirmation_call import TOKEN_PREFIX
from .....core.immutable import readonly
from ..approvals import Approval
from .call_items import AgentCallItem, ApprovalRequest, CustomCallItem, FunctionCallItem
from .frames import Event
from .items import Item, MessageItem, RawReasoningItem, ReasoningItem, Status, TokenItem

INCOMPLETE = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}
"""The `reason` in `incomplete_details` of an answer that was cut."""


@readonly
class OutputOptions:
    """The client's choices and the settings that an answer depends on."""

    server_label: str
    """The label of the agent's own tools: the model as the client named it."""
    reasoning: Literal["summary", "text"] = "summary"
    custom_tools: frozenset[str] = frozenset()
    """The client's tools whose input is free text."""
    question_tool: str | None = None
    """Calls of this tool that an approval answers are shown as approval requests."""
    token: str = ""
    """The `encrypted_content` of every reasoning item. An answer that begins with another item gets an empty reasoning
    item in front.
    """
    approval: Approval | None = None
    """The client's approval, in this request, of a tool call of the agent."""


class Output:
    """The items of one answer. `take` adds a part and returns its events."""

    def __init__(self, answer: str, options: OutputOptions) -> None:
        """`answer`: the part of the answer's id that makes the ids of its items unique."""
        self._answer = answer
        self._options = options
        # state
        self.message: MessageItem | None = None
        """The open message, to which text is appended."""
        self._reasoning: ReasoningItem | None = None
        self._call: FunctionCallItem | None = None
        self._question: ApprovalRequest | None = None
        self._agent_calls: dict[str, AgentCallItem] = {}
        self._items: list[Item] = []
        self._citations: tuple[UrlCitation, ...] = ()
        """Those that wait for the end of a message."""
        self._text_length = 0
        self._needs_message = True
        self._approval = options.approval
        self.incomplete_reason: str | None = None

    def add(self, part: Part) -> list[Event]:
        handle = _HANDLERS.get(type(part))
        return [] if handle is None else handle(self, part)

    def open_message(self) -> list[Event]:
        """Opens a message for text, unless one is open."""
        if self.message is not None:
            return []
        events = self._close_text()
        self._needs_message = False
        self.message = MessageItem(len(self._items), self._answer, self._text_length)
        return events + self._open(self.message)

    def encode(self) -> bytes:
        """JSON of the closed items, separated by commas."""
        return b",".join([item.done for item in self._items if item.done])

    def entries(self) -> list[tuple[str, bytes]]:
        """Id and JSON of each closed item."""
        return [(item.id, item.done) for item in self._items if item.done]

    def idle(self) -> Event | None:
        """An event that changes nothing; None if no item is open."""
        item = self.message or self._reasoning or self._call or next(reversed(self._agent_calls.values()), None)
        return None if item is None else item.idle()

    def _open(self, item: Item) -> list[Event]:
        self._items.append(item)
        return item.open()

    def _add_text(self, part: TextPart | TextBatch) -> list[Event]:
        events = self.open_message()
        assert self.message is not None
        return events + self.message.add(part.text)

    def _add_reasoning(self, part: ReasoningPart) -> list[Event]:
        events: list[Event] = []
        if self._reasoning is None:
            events += self._close_text() if self._items else []
            kind = RawReasoningItem if self._options.reasoning == "text" else ReasoningItem
            self._reasoning = kind(len(self._items), self._answer, self._options.token)
            events += self._open(self._reasoning)
        return events + self._reasoning.add(part.text)

    def _open_call(self, part: ToolCallOpened) -> list[Event]:
        events = self._close_text() + self._close_call()
        self._needs_message = False
        if part.name == self._options.question_tool and not part.needs_words:
            self._question = ApprovalRequest(part.id.removeprefix(TOKEN_PREFIX))
            return events
        kind = CustomCallItem if part.name in self._options.custom_tools else FunctionCallItem
        self._call = kind(len(self._items), self._answer, part)
        return events + self._open(self._call)

    def _add_arguments(self, part: ToolCallArguments) -> list[Event]:
        call = self._call or self._question
        return [] if call is None else call.add(part.arguments)

    def _open_agent_call(self, part: AgentToolCalled) -> list[Event]:
        if part.id in self._agent_calls:
            return []
        events = self._close_text()
        approval = self._approval if self._approval is not None and self._approval.tool == part.name else None
        if approval is not None:
            self._approval = None
        item = self._agent_calls[part.id] = AgentCallItem(
            len(self._items), self._answer, part, self._options.server_label, approval
        )
        return events + self._open(item)

    def _finish_agent_call(self, part: AgentToolReturned) -> list[Event]:
        item = self._agent_calls.pop(part.id, None)
        return [] if item is None else item.finish(part)

    def _annotate(self, part: Annotations) -> list[Event]:
        self._citations += part.citations
        return []

    def _annotate_last(self) -> None:
        """Adds citations to a message that is closed already: only the whole response has them.

        Another message for them would be read as the answer by openai-agents and Codex.
        """
        last = next((item for item in reversed(self._items) if isinstance(item, MessageItem)), None)
        if last is not None and self._citations:
            last.cite_closed(self._citations)

    def _finish(self, part: AnswerFinished) -> list[Event]:
        self.incomplete_reason = INCOMPLETE.get(part.reason)
        status: Status = "completed" if self.incomplete_reason is None else "incomplete"
        events = self.open_message() if self._needs_message and status == "completed" else []
        events += self._close_text(status) + self._close_call(status)
        for item in self._agent_calls.values():
            events += item.close("incomplete")
        self._agent_calls.clear()
        self._annotate_last()
        return events

    def _close_text(self, status: Status = "completed") -> list[Event]:
        item = self.message or self._reasoning
        if item is None:
            return self._add_token()
        cited: list[Event] = []
        if self.message is not None:
            self._text_length += self.message.length
            cited, self._citations = self.message.cite(self._citations), ()
        self.message = self._reasoning = None
        return cited + item.close(status)

    def _add_token(self) -> list[Event]:
        if self._items or not self._options.token:
            return []
        item = TokenItem(0, self._answer, self._options.token)
        return self._open(item) + item.close("completed")

    def _close_call(self, status: Status = "completed") -> list[Event]:
        if self._question is not None:
            request = self._question.item(len(self._items), self._options.server_label)
            self._question = None
            return self._open(request) + request.close(status)
        call, self._call = self._call, None
        return [] if call is None else call.close(status)


_HANDLERS: dict[type[Any], Callable[[Output, Any], list[Event]]] = {
    TextPart: Output._add_text,
    TextBatch: Output._add_text,
    ReasoningPart: Output._add_reasoning,
    ToolCallOpened: Output._open_call,
    ToolCallArguments: Output._add_arguments,
    AgentToolCalled: Output._open_agent_call,
    AgentToolReturned: Output._finish_agent_call,
    Annotations: Output._annotate,
    AnswerFinished: Output._finish,
}
