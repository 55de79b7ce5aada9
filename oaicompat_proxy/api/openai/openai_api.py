"""What OpenAI's APIs share: errors, headers, and the fields that a masked recording shows."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.errors import ProxyError
from ..protocol import ErrorAnswer
from . import errors, headers
from .recorded_fields import RECORDED_FIELDS


class OpenAiApi:
    """Half of a `ClientApi`; each API adds its requests and answers."""

    recorded_fields = RECORDED_FIELDS

    def encode_error(self, error: ProxyError) -> ErrorAnswer:
        return ErrorAnswer(error.status, errors.error_headers(error), errors.error_body(error))

    def answer_headers(self, request_id: str, milliseconds: int) -> Mapping[str, str]:
        return headers.answer_headers(request_id, milliseconds)

    def rate_headers(self, *, limit: int, remaining: int, reset: float) -> Mapping[str, str]:
        return headers.rate_headers(limit=limit, remaining=remaining, reset=reset)
