"""Output items of tool calls: the client's, and those that the agent runs itself.

Source: OpenAI API description, `FunctionToolCall`, `CustomToolCall`, `MCPToolCall`, `MCPApprovalRequest`.
"""

from __future__ import annotations

import json

from .....core import json_text
from .....core.answer import AgentToolCalled, AgentToolReturned, ToolCallOpened
from ...custom_tools import free_text
from ..approvals import Approval
from .frames import Event
from .items import Item, Status

NO_ARGUMENTS = "{}"

TRUNCATED = "… (truncated)"
"""Follows the beginning of a tool's output that is too long to be shown."""


class FunctionCallItem(Item):
    """A call of a function that the client is to run.

    OpenAI's description requires the function's `name` in `function_call_arguments.done`, too.
    """

    prefix = "fc"

    def __init__(self, index: int, answer: str, call: ToolCallOpened) -> None:
        super().__init__(index, answer)
        self._name = json_text.encode(call.name)
        self._call = b'"call_id":%b,"name":%b' % (json_text.encode(call.id), self._name)
        self._pieces: list[str] = []

    def open(self) -> list[Event]:
        return [self._added(self._item(b"in_progress", b'""'))]

    def add(self, text: str) -> list[Event]:
        self._pieces.append(text)
        return [self._delta(json_text.encode(text))]

    def close(self, status: Status) -> list[Event]:
        arguments = json_text.encode("".join(self._pieces))
        done = b'%b,"name":%b,"arguments":%b' % (self.place, self._name, arguments)
        return [
            Event("response.function_call_arguments.done", done),
            self._done(self._item(status.encode(), arguments)),
        ]

    def idle(self) -> Event:
        return self._delta(b'""')

    def _delta(self, text: bytes) -> Event:
        return Event("response.function_call_arguments.delta", b'%b,"delta":%b' % (self.place, text))

    def _item(self, status: bytes, arguments: bytes) -> bytes:
        words = (self.id.encode(), status, self._call, arguments)
        return b'{"id":"%b","type":"function_call","status":"%b",%b,"arguments":%b}' % words


class CustomCallItem(FunctionCallItem):
    """A call of a custom tool, whose input is free text: the text is sent when the call is complete."""

    prefix = "ctc"

    def open(self) -> list[Event]:
        return [self._added(self._item(b"", b'""'))]

    def add(self, text: str) -> list[Event]:
        self._pieces.append(text)
        return []

    def close(self, status: Status) -> list[Event]:
        text = json_text.encode(free_text("".join(self._pieces)))
        return [
            self._delta(text),
            Event("response.custom_tool_call_input.done", b'%b,"input":%b' % (self.place, text)),
            self._done(self._item(b"", text)),
        ]

    def _delta(self, text: bytes) -> Event:
        return Event("response.custom_tool_call_input.delta", b'%b,"delta":%b' % (self.place, text))

    def _item(self, status: bytes, arguments: bytes) -> bytes:
        words = (self.id.encode(), self._call, arguments)
        return b'{"id":"%b","type":"custom_tool_call",%b,"input":%b}' % words


class ApprovalRequest:
    """Collects the question about a tool that waits for a human; the item is made when the question is complete."""

    def __init__(self, token: str) -> None:
        """`token`: the unique part of the id of the confirmation call; the client's answer repeats it."""
        self._token = token
        self._pieces: list[str] = []

    def add(self, text: str) -> list[Event]:
        self._pieces.append(text)
        return []

    def item(self, index: int, server_label: str) -> ApprovalRequestItem:
        return ApprovalRequestItem(index, self._token, server_label, "".join(self._pieces))


class ApprovalRequestItem(Item):
    prefix = "mcpr"

    def __init__(self, index: int, token: str, server_label: str, question: str) -> None:
        """`question`: JSON text of an object with `tool` and `arguments`."""
        super().__init__(index, "")
        self.id = f"{self.prefix}_{token}"
        asked = json.loads(question)
        arguments = asked["arguments"]
        self._item = json_text.encode(
            {
                "id": self.id,
                "type": "mcp_approval_request",
                "server_label": server_label,
                "name": asked["tool"],
                "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
            }
        )

    def open(self) -> list[Event]:
        return [self._added(self._item)]

    def close(self, status: Status) -> list[Event]:
        return [self._done(self._item)]

    def idle(self) -> Event:
        return self._added(self._item)


class AgentCallItem(Item):
    """A tool that the agent runs itself."""

    prefix = "mcp"

    def __init__(
        self, index: int, answer: str, call: AgentToolCalled, server_label: str, approval: Approval | None = None
    ) -> None:
        """`approval`: the client's approval of this call, in the request of this answer."""
        super().__init__(index, answer)
        label = f"{server_label}/{call.agent}" if call.agent else server_label
        arguments = call.arguments or NO_ARGUMENTS
        if approval is not None and arguments == NO_ARGUMENTS:  # a gateway may not repeat them after an approval
            arguments = approval.arguments
        self._arguments = json_text.encode(arguments)
        self._approval = b"null" if approval is None else json_text.encode(approval.request_id)
        self._names = b'"server_label":%b,"name":%b' % (json_text.encode(label), json_text.encode(call.name))

    def open(self) -> list[Event]:
        return [
            self._added(self._item(b"in_progress", arguments=b'""')),
            self.idle(),
            Event("response.mcp_call_arguments.delta", b'%b,"delta":%b' % (self.place, self._arguments)),
            Event("response.mcp_call_arguments.done", b'%b,"arguments":%b' % (self.place, self._arguments)),
        ]

    def finish(self, result: AgentToolReturned) -> list[Event]:
        output = result.output + TRUNCATED if result.truncated else result.output
        encoded = json_text.encode(output)
        if result.error is None:
            item = self._item(b"completed", output=encoded)
            return [Event("response.mcp_call.completed", self.place), self._done(item)]
        item = self._item(b"failed", output=encoded if output else b"null", error=_encode_error(result.error))
        return [Event("response.mcp_call.failed", self.place), self._done(item)]

    def close(self, status: Status) -> list[Event]:
        """Closes a call whose result is unknown."""
        return [self._done(self._item(b"incomplete"))]

    def idle(self) -> Event:
        return Event("response.mcp_call.in_progress", self.place)

    def _item(
        self, status: bytes, *, arguments: bytes | None = None, output: bytes = b"null", error: bytes = b"null"
    ) -> bytes:
        arguments = self._arguments if arguments is None else arguments
        words = (self.id.encode(), status, self._names, arguments, output, error, self._approval)
        return (
            b'{"id":"%b","type":"mcp_call","status":"%b",%b,"arguments":%b,"output":%b,"error":%b,'
            b'"approval_request_id":%b}' % words
        )


def _encode_error(message: str) -> bytes:
    content = [{"type": "text", "text": message}]
    return json_text.encode({"type": "mcp_tool_execution_error", "content": content})
