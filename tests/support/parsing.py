"""Parses whole requests of each API, with the limits that a test chooses and defaults for all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from oaicompat_proxy.api.anthropic.request import request as messages_request
from oaicompat_proxy.api.openai.chat import request as chat_request
from oaicompat_proxy.api.openai.responses.request import request as responses_request
from oaicompat_proxy.api.protocol import ParsedBody
from oaicompat_proxy.core.request import AgentRequest, RequestLimits


class RequestParser(Protocol):
    def __call__(self, body: bytes, *, max_media: int, max_messages: int) -> AgentRequest:
        """Raises InvalidRequest."""


def _parser(
    read: Callable[[bytes, RequestLimits], ParsedBody], build: Callable[[ParsedBody, RequestLimits], AgentRequest]
) -> RequestParser:
    def parse(body: bytes, *, max_media: int, max_messages: int) -> AgentRequest:
        limits = RequestLimits(max_media, max_messages)
        return build(read(body, limits), limits)

    return parse


parse_chat = _parser(chat_request.read, chat_request.build_request)
parse_messages = _parser(messages_request.read, messages_request.build_request)
parse_responses = _parser(responses_request.read, responses_request.build_request)
