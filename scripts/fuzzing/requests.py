"""Laws for requests: any body is rejected with an error in the API's form, or becomes a turn for the agent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from oaicompat_proxy.api.anthropic.api import MESSAGES
from oaicompat_proxy.api.openai.chat.api import CHAT
from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.api.protocol import ClientApi
from oaicompat_proxy.core.errors import ProxyError
from oaicompat_proxy.core.request import AgentRequest, RequestLimits
from oaicompat_proxy.dialects.agentick import requests as calls
from oaicompat_proxy.translation.prompt import build_turn
from tests.support.api_clients import CHAT_CLIENT, MESSAGES_CLIENT, RESPONSES_CLIENT, ApiClient

from .places import GOLDEN, HEADER

LIMITS = RequestLimits(media=2**20, messages=100)
REFUSALS = (400, 404)
"""404: an item that the body refers to is not stored."""


def chat(data: bytes) -> None:
    """A body is rejected in OpenAI's form, or becomes a turn with every value of `history`."""
    check_request(CHAT, CHAT_CLIENT, data)


def responses(data: bytes) -> None:
    """The same of a body of the Responses API, whose retries are told apart before it is checked."""
    check_request(RESPONSES, RESPONSES_CLIENT, data)


def messages(data: bytes) -> None:
    """The same of a body of the Messages API, refused in Anthropic's form."""
    check_request(MESSAGES, MESSAGES_CLIENT, data)


def check_request(api: ClientApi, client: ApiClient, data: bytes) -> None:
    choice, body = data[:HEADER], data[HEADER:]
    if api.retries is not None:
        key = api.retries.read_key(body, {}, LIMITS.values)
        assert key == api.retries.read_key(body, {}, LIMITS.values)
    try:
        parsed = api.read(body, LIMITS)
        api.find_references(parsed)
        request = api.build_request(api.expand(parsed, {}), LIMITS)
    except ProxyError as error:
        client.read_error(api.encode_error(error).body)
        if error.status not in REFUSALS:
            raise
        return
    api.find_session({}, request)
    check_turns(request, max_fold=1000 + 100 * sum(choice[1:2]))


def check_turns(request: AgentRequest, max_fold: int) -> None:
    for history in ("fold", "last", "full"):
        call = calls.build_send("session", build_turn(request, history, max_fold=max_fold))
        sent = json.loads(call.body)
        assert sent["sessionId"] == "session"
        assert sent["messages"][-1] == sent["message"], history
        assert sent["message"]["role"] in ("user", "assistant", "system", "tool")


# Seeds


def chat_seeds() -> list[bytes]:
    question = {"role": "user", "content": "When is high tide?"}
    requests = [{"messages": [question], **json.loads(path.read_text())} for path in GOLDEN.glob("*.request.json")]
    return seeds([*requests, *map(conversation, CONVERSATIONS)])


def seeds(bodies: Sequence[dict[str, Any]]) -> list[bytes]:
    return [bytes(HEADER) + json.dumps(each).encode() for each in bodies]


def conversation(messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"model": "owl", "stream": True, "stream_options": {"include_usage": True}, "messages": messages}


CALL = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": '{"port": "Brest"}'}}
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "Ann"}],
    [
        {"role": "user", "content": "When?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "12:30"},
    ],
    [
        {"role": "developer", "content": [{"type": "text", "text": "=== End ==="}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}]},
        {"role": "assistant", "content": "A ship.", "refusal": None},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:a/b;base64,AA==", "filename": "f"}}]},
    ],
    [
        {"role": "user", "content": "When?"},
        {"role": "assistant", "content": "", "function_call": {"name": "tide", "arguments": "{}"}},
        {"role": "function", "name": "tide", "content": "12:30"},
    ],
]

USER = {"role": "user", "content": "When is high tide?"}
OWN = {"server_label": "owl", "name": "look", "arguments": "{}"}
INPUTS: list[dict[str, Any]] = [
    {"input": "Hi", "instructions": "Be brief.", "text": {"format": {"type": "text"}}, "metadata": {"session_id": "s"}},
    {
        "input": [
            {"role": "developer", "content": [{"type": "input_text", "text": "=== End ==="}]},
            {**USER, "content": [{"type": "input_image", "image_url": "data:image/png;base64,iVBORw0K"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look."}]},
            {"type": "mcp_call", "id": "mcp_1", **OWN, "output": "4 m", "error": None},
            {"type": "function_call", "call_id": "c1", "name": "tide", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "4 m"},
            {**USER, "content": [{"type": "input_file", "file_data": "data:a/b;base64,AA==", "filename": "f"}]},
        ],
        "tools": [{"type": "function", "name": "tide", "parameters": {}, "strict": None}, {"type": "namespace"}],
        "tool_choice": {"type": "function", "name": "tide"},
        "client_metadata": {"turn_id": "t1"},
    },
    {
        "input": [
            USER,
            {"type": "mcp_approval_request", "id": "mcpr_1", **OWN},
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True, "reason": "Go."},
        ],
        "tools": [{"type": "mcp", "server_label": "owl", "require_approval": "always"}],
    },
    {
        "input": [
            USER,
            {"type": "custom_tool_call", "call_id": "c2", "name": "sh", "input": "ls"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a"}]},
        ],
        "tools": [{"type": "custom", "name": "sh"}],
        "stream": True,
    },
    {"input": [{"type": "item_reference", "id": "msg_1"}, USER], "previous_response_id": "resp_1", "store": True},
]

RESULT = {"type": "tool_result", "tool_use_id": "t1"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}}
FILE = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "4 m"}, "title": "f"}
MESSAGE_LISTS: list[dict[str, Any]] = [
    {
        "messages": [USER],
        "system": "Be brief.",
        "stream": True,
        "stop_sequences": ["."],
        "thinking": {"type": "adaptive"},
    },
    {
        "system": [{"type": "text", "text": "x-anthropic-billing-header: a"}, {"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "<system-reminder>x</system-reminder>"}, PICTURE]},
            {"role": "system", "content": "Environment."},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Look.", "signature": "c2ln"},
                    {"type": "mcp_tool_use", "id": "m1", "name": "look", "server_name": "owl", "input": {}},
                    {"type": "mcp_tool_result", "tool_use_id": "m1", "is_error": False, "content": []},
                    {"type": "tool_use", "id": "t1", "name": "tide", "input": {"port": "Brest"}},
                ],
            },
            {"role": "user", "content": [{**RESULT, "content": [FILE]}, {"type": "text", "text": "And now?"}]},
        ],
        "tools": [{"name": "tide", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "web"}],
        "tool_choice": {"type": "tool", "name": "tide"},
        "metadata": {"user_id": '{"session_id": "s"}'},
    },
    {
        "messages": [
            USER,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "tide", "input": {}}]},
            {"role": "user", "content": [{**RESULT, "content": "no", "is_error": True, "cache_control": {}}]},
        ]
    },
]


def response_seeds() -> list[bytes]:
    return seeds([{"model": "owl", **each} for each in INPUTS])


def message_seeds() -> list[bytes]:
    return seeds([{"model": "owl", "max_tokens": 100, **each} for each in MESSAGE_LISTS])


REQUESTS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "request": (chat, chat_seeds),
    "responses": (responses, response_seeds),
    "messages": (messages, message_seeds),
}
"""The law and its seeds, as in `targets`."""
