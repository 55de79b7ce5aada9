"""The `ClientApi` of the older completions endpoint."""

from __future__ import annotations

from ....core.answer import Envelope
from ....core.request import AgentRequest, RequestLimits
from ...protocol import ApiSettings, Clock, Form, ParsedBody, no_clock
from ..openai_api import OpenAiApi
from . import request
from .encoder import CompletionCollector, CompletionEncoder


class CompletionsApi(OpenAiApi):
    """`POST …/completions`, for editors and tools that still call it. A form has `include_usage` and `echo`."""

    name = "completion"
    path = "/completions"
    operation = "text_completion"
    id_prefix = "cmpl-"
    private_form = frozenset({"echo"})

    def read(self, body: bytes, limits: RequestLimits) -> ParsedBody:
        return request.read(body, limits)

    def build_request(self, body: ParsedBody, limits: RequestLimits) -> AgentRequest:
        return request.build_request(body)

    def form_of(self, request: AgentRequest, settings: ApiSettings) -> Form:
        return request.form

    def new_encoder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> CompletionEncoder:
        return CompletionEncoder(envelope, include_usage=form.get("include_usage", False), echo=form.get("echo", ""))

    def new_builder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> CompletionCollector:
        return CompletionCollector(envelope, echo=form.get("echo", ""))


COMPLETIONS = CompletionsApi()
