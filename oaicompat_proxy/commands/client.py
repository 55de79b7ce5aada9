"""A minimal client of the proxy: one streamed answer, or one JSON response."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import aiohttp
import click
from yarl import URL

from ..core.errors import UpstreamFrameTooLong
from ..core.sse import FrameReader
from .connection_failure import describe

MAX_FRAME = 64 * 1024 * 1024
MAX_ERROR = 64 * 1024
"""Bytes of an error's body that are read."""

OnPiece = Callable[[Literal["reasoning", "text", "tool"], str], None]
"""Receives each piece of the answer: a delta, or a tool that the agent ran itself."""

Item = dict[str, Any]
"""A message or an item of a request's body."""


class AnswerError(Exception):
    """The answer failed or is incomplete. The message is for people."""


@dataclass(slots=True)
class ToolCall:
    """A tool call that the client has to answer."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    asks_approval: bool = False
    """The call of an agent's tool waits for approval; the answer is yes or no."""


@dataclass(slots=True)
class Answer:
    """An answer, filled while it streams, so that a cancelled one keeps its text."""

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str = ""
    tokens: int | None = None
    request_id: str = ""
    items: list[Item] = field(default_factory=list)
    """The answer's items, which the next request sends back. Empty until the answer is complete."""


class Api(Protocol):
    """An API of the proxy, from the client's side."""

    @property
    def path(self) -> str:
        """The path behind the base URL."""

    def request(self, model: str, items: Sequence[Item]) -> dict[str, Any]:
        """The body of a request for a stream."""

    def result(self, call: ToolCall, text: str) -> Item:
        """The item of the next request that holds the call's result."""

    def approval(self, call: ToolCall, *, approve: bool) -> Item:
        """The item of the next request that approves or denies the call."""

    def read(self, data: bytes, answer: Answer, on_piece: OnPiece) -> bool:
        """Adds one event to the answer; returns whether it was the last one. Raises AnswerError."""


async def ask(
    client: aiohttp.ClientSession,
    base: URL,
    api: Api,
    body: dict[str, Any],
    headers: dict[str, str],
    answer: Answer,
    on_piece: OnPiece,
) -> None:
    """Fills `answer`. Raises AnswerError. Cancelling closes the connection, which stops the agent."""
    try:
        async with client.post(base / api.path, json=body, headers=headers) as response:
            answer.request_id = response.headers.get("x-request-id", "")
            if response.status != 200:
                raise AnswerError(status_text(response.status, await response.content.read(MAX_ERROR)))
            await _read(response.content, api, answer, on_piece)
    except (aiohttp.ClientError, OSError, TimeoutError, UpstreamFrameTooLong) as error:
        raise AnswerError(f"{base}: {describe(error)}") from error


def request_json(method: str, url: URL, headers: dict[str, str], *, timeout: float) -> dict[str, Any]:
    """The JSON of a response. `timeout`: seconds for the whole of it. Raises ClickException."""
    try:
        return asyncio.run(_request_json(method, url, headers, timeout))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise click.ClickException(f"{url}: {describe(error)}") from None


async def _request_json(method: str, url: URL, headers: dict[str, str], timeout: float) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(timeout)) as client,
        client.request(method, url, headers=headers) as response,
    ):
        if response.status != 200:
            raise click.ClickException(status_text(response.status, await response.content.read(MAX_ERROR)))
        body: dict[str, Any] = await response.json()
        return body


async def _read(content: aiohttp.StreamReader, api: Api, answer: Answer, on_piece: OnPiece) -> None:
    frames = FrameReader(max_frame=MAX_FRAME)
    async for data in content.iter_any():
        for frame in frames.feed(data):
            if api.read(frame.data, answer, on_piece):
                return
    raise AnswerError("the answer broke off")


def parse_event(data: bytes) -> dict[str, Any]:
    """The JSON object of an event. Raises AnswerError for anything else."""
    try:
        event = json.loads(data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise AnswerError(f"this is no stream of the API: {data[:100]!r}")
    return event


def error_text(error: Any) -> str:
    """The text of an error object, for people."""
    if not isinstance(error, dict):
        return str(error)
    kind = error.get("code", error.get("type"))
    return f"{error.get('message')} ({kind})" if kind else str(error.get("message"))


def status_text(status: int, body: bytes) -> str:
    """The text of an error response, for people."""
    try:
        return f"{status}: {error_text(json.loads(body)['error'])}"
    except (ValueError, TypeError, KeyError):
        words = " ".join(body.decode("utf-8", "replace").split())
        return f"{status}: not the proxy's own answer: {words[:200] or 'nothing'}"
