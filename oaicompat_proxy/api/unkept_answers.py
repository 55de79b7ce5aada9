"""The part of a `ClientApi` that is the same for all APIs whose answers are not stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.answer import Envelope
from ..core.errors import ProxyError
from ..core.request import AgentRequest, AnswerFormat, EntryChange
from .protocol import ApiSettings, BodyBuilder, Form, Keeping, ParsedBody, StreamEncoder


class UnkeptAnswers:
    """Stores no requests and no answers, so no request can refer to one. A user is named as in OpenAI's APIs."""

    keeps_answers = False

    def user_of(self, members: Mapping[str, Any], field: str) -> object:
        return members.get(field)

    def keeping_of(self, body: ParsedBody, settings: ApiSettings) -> Keeping:
        return Keeping()

    def format_of(self, request: AgentRequest) -> AnswerFormat | None:
        return None

    def find_references(self, body: ParsedBody) -> frozenset[str]:
        return frozenset()

    def find_changed(self, body: ParsedBody) -> str:
        return ""

    def change(
        self, change: EntryChange, stored: Mapping[str, bytes], answer: StreamEncoder | BodyBuilder
    ) -> Mapping[str, bytes]:
        return {}

    def expand(self, body: ParsedBody, stored: Mapping[str, bytes]) -> ParsedBody:
        return body

    def request_entries(self, request: AgentRequest, envelope: Envelope) -> Mapping[str, bytes]:
        return {}

    def answer_entries(self, answer: StreamEncoder | BodyBuilder, form: Form) -> Mapping[str, bytes]:
        return {}

    def first_body(self, envelope: Envelope, form: Form, *, queued: bool) -> bytes:
        raise NotImplementedError(f"{type(self).__name__} keeps no answers")

    def last_body(self, body: bytes, error: ProxyError, encoder: StreamEncoder | None) -> bytes:
        raise NotImplementedError(f"{type(self).__name__} keeps no answers")

    def lost_end(self, body: bytes, error: ProxyError, number: int) -> bytes:
        raise NotImplementedError(f"{type(self).__name__} keeps no answers")
