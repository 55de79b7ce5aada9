"""Builds the requests to an Agentick gateway, and parses its JSON responses.

Source: `dialects/agentick/PROTOCOL.md`, "Requests" and "Sessions".

Bodies are ASCII-escaped JSON: the gateway decodes each TCP packet alone and would destroy a multi-byte character that
is split between two. The body of `/send` has two forms: `message` for the standalone gateway of 0.9, `messages` for all
others. It has both at once as long as it is not known which of them the gateway reads.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from ...core import ascii_json
from ...core.exact_json import parse_nearest
from ...core.json_text import JsonText
from ...core.message import Block, Media, Message, ToolCall
from ...core.model_info import ModelInfo
from ...core.turn import Turn
from ..protocol import App, HttpCall, SessionStatus


def is_app_id(name: str) -> bool:
    """Whether this can be the id of an app. A session key is split at its first colon."""
    return bool(name) and ":" not in name


def session_key(app: str, name: str) -> str:
    """The key of session `name` of `app`; an empty `app` is the gateway's default app.

    `name` must not contain a colon, because it would choose another app.
    """
    return f"{app}:{name}" if app else name


def build_send(key: str, turn: Turn, form: str = "") -> HttpCall:
    """Starts a run: sends the messages of the turn, or, if it has none, its parts as one user message.

    `form`: of `parse_send_form`; empty: both.
    """
    if turn.messages:
        messages = [_message(each) for each in turn.messages]
    else:
        messages = [{"role": "user", "content": [_block(block) for block in turn.blocks]}]
    if turn.metadata:
        messages[-1]["metadata"] = {**messages[-1].get("metadata", {}), **turn.metadata}
    if turn.mark:
        messages[-1]["id"] = turn.mark
    body: dict[str, Any] = {"sessionId": key, "message": messages[-1], "messages": messages}
    if form:
        body = {"sessionId": key, form: body[form]}
    if turn.user:
        body["metadata"] = {"user": turn.user}
    return _call("/send", body)


def build_empty_send() -> HttpCall:
    """A request that every release rejects with 400; the error names the form of body that the release expects."""
    return _call("/send", {})


def reads_all_messages(status: int, body: bytes) -> bool | None:
    """Whether the gateway reads all `messages`, from its error about an empty `/send`.

    True for the standalone transport since Agentick 0.10. False where one `message` is expected. None for an embedded
    gateway, since some of its releases read only the first message.
    """
    try:
        error = str(orjson.loads(body)["error"]) if status == 400 else ""
    except (ValueError, TypeError, KeyError):
        return None
    names_all, names_one = "messages: Message[]" in error, "message: Message" in error or "{ role, content" in error
    if names_all and not names_one:
        return None
    return names_all if names_one else None


def parse_send_form(status: int, body: bytes) -> str:
    """The field of `/send` that the gateway reads, from its error about an empty one; empty if the error is another.

    `messages` where either is read.
    """
    try:
        error = str(orjson.loads(body)["error"]) if status == 400 else ""
    except (ValueError, TypeError, KeyError):
        return ""
    if "messages: Message[]" in error:
        return "messages"
    return "message" if "{ role, content" in error else ""


def model_markers() -> dict[bytes, bool]:
    """Bytes of frames that show that the model has received its messages (True) or never will (False)."""
    spoke = ("message_start", "content_delta", "tool_call", "model_response", "tick_end")
    failed = ("execution_end", "error")
    return {b'"event":"%b' % name.encode(): name in spoke for name in (*spoke, *failed)}


def build_close(key: str) -> HttpCall:
    return _call("/close", {"sessionId": key})


def build_invoke_close(key: str) -> HttpCall:
    """Closes a session, on releases with the built-in method."""
    return _call("/invoke", {"method": "close", "params": {"sessionId": key}})


def build_status(key: str) -> HttpCall:
    """Asks for the status of a session, on releases with the built-in method."""
    return _call("/invoke", {"method": "status", "params": {"sessionId": key}})


def parse_status(status: int, body: bytes) -> SessionStatus | None:
    """The session's status, from the response to `build_status`; None if it has none."""
    try:
        result = orjson.loads(body) if status == 200 else None
    except ValueError:
        return None
    if not isinstance(result, dict) or "gateway" not in result:
        return None
    session = result.get("session")
    return SessionStatus(isinstance(session, dict), isinstance(session, dict) and session.get("isActive") is True)


def build_abort(key: str) -> HttpCall:
    """Stops the run of a session and keeps the session. It has no effect on releases before 0.10."""
    return _call("/abort", {"sessionId": key, "reason": "The client has left."})


def is_abort_refused(status: int, body: bytes) -> bool:
    """Whether a response to `build_abort` says that there is no such session. 0.9 answers `ok` for any session."""
    try:
        return status in (404, 500) and str(orjson.loads(body)["error"]).startswith("Session not found")
    except (ValueError, TypeError, KeyError):
        return False


def build_confirmation(key: str, call_id: str, *, confirmed: bool, reason: str = "") -> HttpCall:
    """Confirms or denies a tool call that waits for a confirmation, on releases with the built-in method."""
    params = {"sessionId": key, "callId": call_id, "confirmed": confirmed, **({"reason": reason} if reason else {})}
    return _call("/invoke", {"method": "tool-confirm", "params": params})


def is_unknown_app(body: bytes) -> bool:
    """Whether an error response says that there is no such app. Usually the stream of the run says so."""
    try:
        return str(orjson.loads(body)["error"]).startswith("Unknown app")
    except (ValueError, TypeError, KeyError):
        return False


def is_unknown_method(status: int, body: bytes) -> bool:
    """Whether a response to `/invoke` says that this release has no such method, or no `/invoke`."""
    if status not in (400, 404):
        return status in (405, 501)
    try:
        error = str(orjson.loads(body)["error"])
    except (ValueError, TypeError, KeyError):
        return status == 404
    return error == "Not found" or "nknown method" in error


def first_sequence(frame: bytes) -> int | None:
    """The sequence number of a run's first frame; None if it has none.

    A session counts the frames of all its runs from 1, so 1 means that the session has no history.
    """
    try:
        sequence = orjson.loads(frame)["data"]["sequence"]
    except (ValueError, TypeError, KeyError):
        return None
    return sequence if type(sequence) is int else None


def events_path(client_id: str) -> str:
    """The path of the event stream of the sessions that a client subscribes to."""
    return f"/events?clientId={client_id}"


def build_subscribe(client_id: str, connection_id: str, key: str) -> HttpCall:
    """Subscribes an `/events` connection to a session, with the keys of both forms of the gateway."""
    body = {"clientId": client_id, "connectionId": connection_id, "sessionId": key, "add": [key]}
    return _call("/subscribe", body)


def build_apps() -> HttpCall:
    return _call("/invoke", {"method": "apps", "params": {}})


def parse_apps(body: bytes) -> list[App] | None:
    """The apps, from the response to `build_apps`; None if it has none."""
    try:
        apps = orjson.loads(body)["apps"]
        return [App(str(app["id"]), app.get("isDefault") is True, _info_of(app)) for app in apps]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def answers_apps(body: bytes) -> bool:
    """Whether the body is a gateway's response to `build_apps`: apps, or the error of a release without the method."""
    try:
        found = orjson.loads(body)
    except ValueError:
        return False
    return isinstance(found, dict) and not found.keys().isdisjoint(("apps", "error"))


def _info_of(app: dict[str, Any]) -> ModelInfo:
    texts = {key: app[key] for key in ("name", "description") if isinstance(app.get(key), str)}
    return ModelInfo(**texts)


_AVAILABLE = re.compile(r'Unknown app ".*"\. Available: (.*)', re.DOTALL)


def parse_available(message: str) -> list[App] | None:
    """The apps that an `Unknown app` error lists; None if it is another error."""
    match = _AVAILABLE.fullmatch(message)
    return [App(name) for name in match[1].split(", ") if name] if match else None


def _call(path: str, body: dict[str, Any]) -> HttpCall:
    return HttpCall(path, ascii_json.encode(body))


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
    """The arguments unchanged, if they are a JSON object; else wrapped as the gateway itself wraps them."""
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
