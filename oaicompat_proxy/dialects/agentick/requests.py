"""What is put to an Agentick gateway, and what its short answers say.

Source: `dialects/agentick/PROTOCOL.md`, "Requests" and "Sessions".

Bodies are ASCII-escaped JSON: the gateway decodes each TCP packet by itself and would destroy a character of
several bytes that falls on a packet's edge. `/send` carries both forms of the body, `message` for the
standalone gateway and `messages` for the embedded one; each reads its own.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from ...core import ascii_json
from ...core.exact_json import parse_nearest
from ...core.json_text import JsonText
from ...core.message import Block, Media, Message, ToolCall
from ...core.turn import Turn
from ..protocol import App, Call, SessionStatus


def is_app_id(name: str) -> bool:
    """Whether an app may be addressed by this name: a session key is cut at its first colon."""
    return bool(name) and ":" not in name


def session_key(app: str, name: str) -> str:
    """The key of session `name` of `app`; of the gateway's default app if `app` is empty.

    `name` must hold no colon, or it would choose another app.
    """
    return f"{app}:{name}" if app else name


def build_send(key: str, turn: Turn) -> Call:
    """The turn as one user message, or message by message where the turn has them all."""
    if turn.messages:
        messages = [_message(each) for each in turn.messages]
    else:
        messages = [{"role": "user", "content": [_block(block) for block in turn.blocks]}]
    if turn.metadata:
        messages[-1]["metadata"] = {**messages[-1].get("metadata", {}), **turn.metadata}
    if turn.mark:
        messages[-1]["id"] = turn.mark
    return _call("/send", {"sessionId": key, "message": messages[-1], "messages": messages})


def build_empty_send() -> Call:
    """Every release refuses it with 400, and says which form of body it wants."""
    return _call("/send", {})


def takes_messages(status: int, body: bytes) -> bool | None:
    """Whether the refusal of an empty `/send` says that all `messages` are read, as the standalone transport does
    since Agentick 0.10; False where it wants one `message`; None for a gateway in another server, of which some
    releases read only the first of the messages.
    """
    try:
        error = str(orjson.loads(body)["error"]) if status == 400 else ""
    except (ValueError, TypeError, KeyError):
        return None
    wants_all, wants_one = "messages: Message[]" in error, "message: Message" in error or "{ role, content" in error
    if wants_all and not wants_one:
        return None
    return wants_all if wants_one else None


def model_signs() -> dict[bytes, bool]:
    """Frames that come behind those that hold the model's messages, and, False, frames of a run that failed first."""
    spoke = ("message_start", "content_delta", "tool_call", "model_response", "tick_end")
    failed = ("execution_end", "error")
    return {b'"event":"%b' % name.encode(): name in spoke for name in (*spoke, *failed)}


def build_close(key: str) -> Call:
    return _call("/close", {"sessionId": key})


def build_invoke_close(key: str) -> Call:
    """Closes a session on releases that have the built-in method."""
    return _call("/invoke", {"method": "close", "params": {"sessionId": key}})


def build_status(key: str) -> Call:
    """Asks for a session, on releases that have the built-in method."""
    return _call("/invoke", {"method": "status", "params": {"sessionId": key}})


def parse_status(status: int, body: bytes) -> SessionStatus | None:
    """What the answer to `build_status` says; None if it says nothing of sessions."""
    try:
        told = orjson.loads(body) if status == 200 else None
    except ValueError:
        return None
    if not isinstance(told, dict) or "gateway" not in told:
        return None
    session = told.get("session")
    return SessionStatus(isinstance(session, dict), isinstance(session, dict) and session.get("isActive") is True)


def build_abort(key: str) -> Call:
    """Interrupts the run of a session, which goes on: where the release does it, as those since 0.10 do."""
    return _call("/abort", {"sessionId": key, "reason": "The client has left."})


def refuses_abort(status: int, body: bytes) -> bool:
    """Whether an answer to `build_abort` says that there is no such session: 0.9 says `ok` of every one."""
    try:
        return status in (404, 500) and str(orjson.loads(body)["error"]).startswith("Session not found")
    except (ValueError, TypeError, KeyError):
        return False


def build_confirmation(key: str, call_id: str, *, confirmed: bool, reason: str = "") -> Call:
    """Answers a tool that waits for a human, on releases that have the built-in method."""
    params = {"sessionId": key, "callId": call_id, "confirmed": confirmed, **({"reason": reason} if reason else {})}
    return _call("/invoke", {"method": "tool-confirm", "params": params})


def means_unknown_app(body: bytes) -> bool:
    """Whether an answer that is no run says that there is no such app; mostly a run says so."""
    try:
        return str(orjson.loads(body)["error"]).startswith("Unknown app")
    except (ValueError, TypeError, KeyError):
        return False


def is_unknown_method(status: int, body: bytes) -> bool:
    """Whether an answer to `/invoke` says that this release has no such method, or no `/invoke` at all."""
    if status not in (400, 404):
        return status in (405, 501)
    try:
        error = str(orjson.loads(body)["error"])
    except (ValueError, TypeError, KeyError):
        return status == 404
    return error == "Not found" or "nknown method" in error


def first_sequence(frame: bytes) -> int | None:
    """The number of a run's first frame, from its data; None if it has none.

    A session counts its frames over all its runs, from 1: a session whose run begins with 1 knows of nothing before.
    """
    try:
        sequence = orjson.loads(frame)["data"]["sequence"]
    except (ValueError, TypeError, KeyError):
        return None
    return sequence if type(sequence) is int else None


def events_path(client_id: str) -> str:
    """Where a client listens to the events of the sessions it subscribes to."""
    return f"/events?clientId={client_id}"


def build_subscribe(client_id: str, connection_id: str, key: str) -> Call:
    """Subscribes a listener to a session; both forms of the gateway read their own keys."""
    body = {"clientId": client_id, "connectionId": connection_id, "sessionId": key, "add": [key]}
    return _call("/subscribe", body)


def build_apps() -> Call:
    return _call("/invoke", {"method": "apps", "params": {}})


def parse_apps(body: bytes) -> list[App] | None:
    """The apps in an answer to `build_apps`, or None if it is no such answer."""
    try:
        apps = orjson.loads(body)["apps"]
        return [App(str(app["id"]), app.get("isDefault") is True) for app in apps]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


_AVAILABLE = re.compile(r'Unknown app ".*"\. Available: (.*)', re.DOTALL)


def parse_available(message: str) -> list[App] | None:
    """The apps named in the refusal of an unknown one, or None if it is no such refusal."""
    match = _AVAILABLE.fullmatch(message)
    return [App(name) for name in match[1].split(", ") if name] if match else None


def _call(path: str, body: dict[str, Any]) -> Call:
    return Call(path, ascii_json.encode(body))


def _message(message: Message) -> dict[str, Any]:
    content = [_block(block) for block in message.blocks]
    named = {"metadata": {"name": message.name}} if message.name else {}
    if message.role == "tool":
        known = {"toolUseId": message.tool_call_id or "", "name": message.name or ""}
        result = {"type": "tool_result", **known, "content": content}
        return {"role": "tool", "toolCallId": message.tool_call_id or "", "content": [result]}
    content += [_tool_use(call) for call in message.tool_calls]
    return {"role": message.role, "content": content, **named}


def _tool_use(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "toolUseId": call.id, "name": call.name, "input": _input(call.arguments or "{}")}


def _input(arguments: str) -> JsonText | dict[str, str]:
    """As they are written; what is no JSON object goes as the gateway itself does with it."""
    try:
        is_object = isinstance(parse_nearest(arguments.encode("utf-8", "surrogatepass")), dict)
    except (ValueError, RecursionError):
        is_object = False
    return JsonText(arguments) if is_object else {"raw": arguments}


def _block(block: Block) -> dict[str, Any]:
    if not isinstance(block, Media):
        return {"type": "text", "text": block.text}
    native: dict[str, Any] = {"type": block.kind, "source": _source(block)}
    if block.mime_type:
        native["mimeType"] = block.mime_type
    if block.name:
        native["title"] = block.name
    return native


def _source(media: Media) -> dict[str, Any]:
    if media.url is not None:
        source = {"type": "url", "url": media.url}
    elif media.file_id is not None:
        return {"type": "file_id", "fileId": media.file_id}
    else:
        source = {"type": "base64", "data": media.data or ""}
    return {**source, "mimeType": media.mime_type} if media.mime_type else source
