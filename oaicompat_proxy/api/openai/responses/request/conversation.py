"""Converts input items into the messages of a conversation, as a chat request with the same conversation has them.

All text and calls of the assistant between two messages of the client become one message. Reasoning items and calls
that the agent ran itself are left out. A tool's result follows the message with its call, also if the client has put
other items between them.

Source: OpenAI API description, `InputItem`; the service's errors for calls without outputs and outputs without calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .....core.confirmation_call import CONFIRM_TOOL
from .....core.errors import InvalidRequest, NotFound
from .....core.message import Block, Message, Text, ToolCall
from ...custom_tools import to_arguments
from ...invalid_requests import clip, invalid_value
from ...media import MediaReader
from ...schema.response_items import type_of
from ..approvals import approval_reply, approval_token
from .content import build_blocks

Item = Mapping[str, Any]


class _Answer:
    """The assistant's text and calls between two messages of the client, and the results of these calls."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.calls: list[ToolCall] = []
        self.results: list[Message] = []
        self.exists = False
        """Whether it has text or calls; an approval request alone is not shown to the agent."""

    def messages(self) -> list[Message]:
        if not self.exists:
            return []
        return [Message("assistant", tuple(self.blocks), None, tuple(self.calls)), *self.results]


class Conversation:
    """Converts items in their order. `earlier`: the number of first items that were stored, not sent; `source`: the
    parameter that named them.
    """

    def __init__(self, media: MediaReader, *, earlier: int = 0, source: str = "previous_response_id") -> None:
        self._media = media
        self._earlier = earlier
        self._source = source
        self._known: tuple[_Answer, int, int] | None = None
        """The answer with which the earlier items end, and the numbers of its blocks and its calls."""
        # state
        self._entries: list[Message | _Answer] = []
        self._answer: _Answer | None = None
        self._callers: dict[str, _Answer] = {}
        """The answer that made a call, by the id of the call."""
        self._calls: dict[str, ToolCall] = {}
        """The latest call with each id."""
        self._results: dict[str, Message] = {}
        """Results of the latest calls, by the ids of the calls."""
        self._unanswered: dict[str, str] = {}
        """Calls without an output, with the paths of their ids."""
        self._questions: dict[str, tuple[Item, _Answer]] = {}
        """Approval requests by their ids."""
        self._count = 0

    def add(self, item: Item) -> None:
        """Raises InvalidRequest, NotFound."""
        handle = _HANDLERS.get(type_of(item) or "")
        index = self._count - self._earlier
        if index == 0 and self._answer is not None and self._answer.exists:
            self._known = self._answer, len(self._answer.blocks), len(self._answer.calls)
        self._count += 1
        if handle is not None:
            handle(self, item, f"input[{index}]" if index >= 0 else self._source)

    def messages(self) -> tuple[Message, ...]:
        """Raises InvalidRequest for a call without its output, or if there is no message at all."""
        for call_id, path in self._unanswered.items():
            message = f"No tool output found for function call {clip(call_id)}."
            raise InvalidRequest(message, param=path if path == self._source else f"{path}.call_id")
        messages: list[Message] = []
        for entry in self._entries:
            if isinstance(entry, _Answer):
                messages += entry.messages()
            else:
                messages.append(entry)
        if not messages:
            raise invalid_value("input", "it holds no message.")
        return tuple(messages)

    @property
    def goes_on(self) -> bool:
        """Whether the earlier items end with an answer, and the request adds nothing of the assistant."""
        answers = [entry for entry in self._entries if isinstance(entry, _Answer) and entry.exists]
        last = answers[-1] if answers else None
        return last is not None and self._known == (last, len(last.blocks), len(last.calls))

    def _add_message(self, item: Item, path: str) -> None:
        role = item["role"]
        content = item.get("content")
        blocks = build_blocks(content if role == "user" else content or None, f"{path}.content", self._media)
        if role == "assistant":
            answer = self._current_answer()
            answer.exists = True
            answer.blocks += blocks
            return
        self._answer = None
        self._entries.append(Message("user" if role == "user" else "system", blocks))

    def _add_function_call(self, item: Item, path: str) -> None:
        self._add_call(ToolCall(item["call_id"], item["name"], item.get("arguments") or ""), path)

    def _add_custom_call(self, item: Item, path: str) -> None:
        self._add_call(ToolCall(item["call_id"], item["name"], to_arguments(item.get("input") or "")), path)

    def _add_call(self, call: ToolCall, path: str) -> None:
        """Equal calls count as one: some clients repeat the items of `previous_response_id`."""
        if call.id in self._unanswered:
            if call != self._calls[call.id]:
                raise _duplicate(call.id, path)
            return
        answer = self._current_answer()
        answer.exists = True
        answer.calls.append(call)
        self._results.pop(call.id, None)
        self._calls[call.id] = call
        self._callers[call.id] = answer
        self._unanswered[call.id] = path

    def _add_output(self, item: Item, path: str) -> None:
        call_id = item["call_id"]
        answer = self._callers.get(call_id)
        if answer is None:
            message = f"No tool call found for function call output with call_id {clip(call_id)}."
            raise InvalidRequest(message, param=f"{path}.call_id")
        blocks = build_blocks(item.get("output") or None, f"{path}.output", self._media)
        result = Message("tool", blocks, None, (), call_id)
        if call_id in self._results:
            if result != self._results[call_id]:
                raise _duplicate(call_id, path)
            return
        self._results[call_id] = result
        answer.results.append(result)
        self._unanswered.pop(call_id, None)
        self._answer = None

    def _add_approval_request(self, item: Item, path: str) -> None:
        """An approval request is shown to the agent only with the client's response to it."""
        self._questions[item["id"]] = item, self._current_answer()

    def _add_approval_response(self, item: Item, path: str) -> None:
        question_id = item["approval_request_id"]
        token = approval_token(question_id)
        if token is None:
            raise invalid_value(
                f"{path}.approval_request_id", f"'{clip(question_id)}' is no id of an approval request."
            )
        asked, answer = self._questions.get(question_id) or ({}, self._current_answer())
        answer.exists = True
        answer.calls.append(ToolCall(token, CONFIRM_TOOL, _question_arguments(asked)))
        answer.results.append(Message("tool", (Text(approval_reply(item)),), None, (), token))
        self._answer = None

    def _refuse_reference(self, item: Item, path: str) -> None:
        raise NotFound(f"Item with id '{clip(item['id'])}' not found.", param=f"{path}.id")

    def _current_answer(self) -> _Answer:
        if self._answer is None:
            self._answer = _Answer()
            self._entries.append(self._answer)
        return self._answer


def build_messages(
    items: str | Sequence[Item],
    instructions: str | None,
    media: MediaReader,
    *,
    earlier: int = 0,
    source: str = "previous_response_id",
) -> tuple[tuple[Message, ...], bool]:
    """The messages, and whether they continue the answer with which the earlier items end.

    `items`: the checked `input`, of which the first `earlier` items were stored. Raises InvalidRequest, NotFound.
    """
    first = (Message("system", (Text(instructions),)),) if instructions else ()
    if isinstance(items, str):
        return (*first, Message("user", (Text(items),))), False
    conversation = Conversation(media, earlier=earlier, source=source)
    for item in items:
        conversation.add(item)
    return first + conversation.messages(), conversation.goes_on


def _duplicate(call_id: str, path: str) -> InvalidRequest:
    found = f"Duplicate item found with call_id {clip(call_id)}."
    return InvalidRequest(f"{found} Remove duplicate items from your input and try again.", param=f"{path}.call_id")


def _question_arguments(asked: Item) -> str:
    """The arguments of the call of CONFIRM_TOOL, as JSON text."""
    text = asked.get("arguments") or "{}"
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        arguments = text
    return json.dumps({"tool": asked.get("name", ""), "arguments": arguments}, ensure_ascii=False)


_HANDLERS: Mapping[str, Callable[[Conversation, Item, str], None]] = {
    "message": Conversation._add_message,
    "function_call": Conversation._add_function_call,
    "function_call_output": Conversation._add_output,
    "custom_tool_call": Conversation._add_custom_call,
    "custom_tool_call_output": Conversation._add_output,
    "mcp_approval_request": Conversation._add_approval_request,
    "mcp_approval_response": Conversation._add_approval_response,
    "item_reference": Conversation._refuse_reference,
}
"""Handlers by item type. Items of other types are not shown to the agent."""
