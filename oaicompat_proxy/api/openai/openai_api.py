"""The common base of OpenAI's APIs: errors, headers, and the fields that a masked recording shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...core.answer import Envelope
from ...core.errors import CONVERSATION, ProxyError
from ...core.model_info import Model
from ...core.request import AgentRequest
from ..copilot_retries import COPILOT_ONLY
from ..error_headers import error_headers
from ..protocol import ApiRoute, ErrorAnswer, LimitedUnit
from ..retry_rules import RetryRules
from ..unkept_answers import UnkeptAnswers
from . import errors, headers
from .models import model_body, models_body
from .recorded_fields import RECORDED_FIELDS


class OpenAiApi(UnkeptAnswers):
    """A partial `ClientApi`: each API adds its requests and answers. By default it has one endpoint, stores no answers,
    and recognises repeated requests by their `Idempotency-Key`, and those of GitHub Copilot CLI.
    """

    has_tool_items = False
    conversation_field = CONVERSATION
    routes: Sequence[ApiRoute] = ()
    recorded_fields = RECORDED_FIELDS

    @property
    def retries(self) -> RetryRules:
        return COPILOT_ONLY

    def recognizes(self, headers: Mapping[str, str]) -> bool:
        return False

    def find_session(self, headers: Mapping[str, str], request: AgentRequest) -> str:
        return ""

    def read_envelope(self, answer: Mapping[str, Any]) -> Envelope:
        return Envelope(str(answer["id"]), int(answer["created"]), str(answer["model"]))

    def encode_error(self, error: ProxyError, request_id: str = "") -> ErrorAnswer:
        return ErrorAnswer(error.status, error_headers(error), errors.error_body(error, self.conversation_field))

    def encode_model(self, model: Model, *, created: int, owner: str, endpoints: Sequence[str]) -> bytes:
        return model_body(model, created=created, owner=owner, endpoints=endpoints)

    def encode_models(
        self,
        models: Iterable[Model],
        query: Mapping[str, str],
        *,
        created: int,
        owner: str,
        endpoints: Sequence[str],
    ) -> bytes:
        return models_body(models, created=created, owner=owner, endpoints=endpoints)

    def answer_headers(self, request_id: str, milliseconds: int) -> Mapping[str, str]:
        return headers.answer_headers(request_id, milliseconds)

    def rate_headers(
        self, *, limit: int, remaining: int, reset: float, now: float, unit: LimitedUnit = "requests"
    ) -> Mapping[str, str]:
        return headers.rate_headers(limit=limit, remaining=remaining, reset=reset, unit=unit)
