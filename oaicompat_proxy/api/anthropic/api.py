"""The `ClientApi` of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...core.answer import Envelope
from ...core.errors import ProxyError
from ...core.model_info import Model
from ...core.request import AgentRequest, AnswerFormat, RequestLimits
from ..error_headers import error_headers
from ..protocol import ApiRoute, ApiSettings, Clock, ErrorAnswer, Form, LimitedUnit, ParsedBody, no_clock
from ..retry_rules import RetryRules
from ..unkept_answers import UnkeptAnswers
from . import errors, headers
from .answer.blocks import BlockOptions
from .answer.body import MessageBuilder
from .answer.conversion import convert
from .answer.encoder import MessageEncoder
from .headers import VERSION
from .models import model_body, models_body
from .recorded_fields import RECORDED_FIELDS
from .request import request
from .request.answer_format import find_format
from .request.retries import MAX_SILENCE, read_retry_key
from .request.sessions import find_session, user_of
from .tokens import COUNT_TOKENS

UNBOUNDED = 1 << 40
"""The limit of an answer that is encoded again from a recording, whose size is bounded."""


class MessagesApi(UnkeptAnswers):
    """`POST …/messages`. A form has `thinking` and `max_answer`."""

    name = "messages"
    path = "/messages"
    operation = "chat"
    id_prefix = "msg_"
    has_tool_items = True
    recorded_fields = RECORDED_FIELDS
    private_form: frozenset[str] = frozenset()
    routes: Sequence[ApiRoute] = (COUNT_TOKENS,)

    @property
    def retries(self) -> RetryRules:
        return RetryRules(read_retry_key, convert, MAX_SILENCE)

    def recognizes(self, headers: Mapping[str, str]) -> bool:
        return VERSION in headers

    def find_session(self, headers: Mapping[str, str], request: AgentRequest) -> str:
        return find_session(headers, request)

    def user_of(self, members: Mapping[str, Any], field: str) -> object:
        return user_of(members)

    def read(self, body: bytes, limits: RequestLimits) -> ParsedBody:
        return request.read(body, limits)

    def build_request(self, body: ParsedBody, limits: RequestLimits) -> AgentRequest:
        return request.build_request(body, limits)

    def read_envelope(self, answer: Mapping[str, Any]) -> Envelope:
        """A message has no time."""
        message = answer.get("message", answer)
        return Envelope(str(message["id"]), 0, str(message["model"]))

    def form_of(self, request: AgentRequest, settings: ApiSettings) -> Form:
        thinking = request.form["thinking"] and settings.reasoning_field != "none"
        return {"thinking": thinking, "max_answer": settings.max_answer}

    def format_of(self, request: AgentRequest) -> AnswerFormat | None:
        return find_format(request.parameters)

    def new_encoder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> MessageEncoder:
        return MessageEncoder(envelope, _options(envelope, form))

    def new_builder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> MessageBuilder:
        return MessageBuilder(envelope, _options(envelope, form))

    def encode_error(self, error: ProxyError, request_id: str = "") -> ErrorAnswer:
        return ErrorAnswer(errors.status_of(error), error_headers(error), errors.error_body(error, request_id))

    def encode_model(self, model: Model, *, created: int, owner: str, endpoints: Sequence[str]) -> bytes:
        return model_body(model, created=created)

    def encode_models(
        self,
        models: Iterable[Model],
        query: Mapping[str, str],
        *,
        created: int,
        owner: str,
        endpoints: Sequence[str],
    ) -> bytes:
        return models_body(models, query, created=created)

    def answer_headers(self, request_id: str, milliseconds: int) -> Mapping[str, str]:
        return headers.answer_headers(request_id)

    def rate_headers(
        self, *, limit: int, remaining: int, reset: float, now: float, unit: LimitedUnit = "requests"
    ) -> Mapping[str, str]:
        return headers.rate_headers(limit=limit, remaining=remaining, reset_at=now + reset, unit=unit)


def _options(envelope: Envelope, form: Form) -> BlockOptions:
    return BlockOptions(
        answer_id=envelope.id,
        server_name=envelope.model,
        thinking=bool(form.get("thinking", True)),
        max_buffered=form.get("max_answer", UNBOUNDED),
    )


MESSAGES = MessagesApi()
