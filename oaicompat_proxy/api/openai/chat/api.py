"""The `ClientApi` of Chat Completions."""

from __future__ import annotations

from ....core.answer import Envelope
from ....core.request import AgentRequest, AnswerFormat, RequestLimits
from ...protocol import ApiSettings, Clock, Form, ParsedBody, no_clock
from ..answer_format import find_format
from ..openai_api import OpenAiApi
from . import request
from .collector import Collector
from .encoder import ChunkEncoder


class ChatApi(OpenAiApi):
    """`POST …/chat/completions`. A form has `include_usage`, `legacy_functions`, `custom_tools`, `reasoning_field`."""

    name = "chat"
    path = "/chat/completions"
    operation = "chat"
    id_prefix = "chatcmpl-"
    private_form: frozenset[str] = frozenset()

    def read(self, body: bytes, limits: RequestLimits) -> ParsedBody:
        return request.read(body, limits)

    def build_request(self, body: ParsedBody, limits: RequestLimits) -> AgentRequest:
        return request.build_request(body, limits)

    def form_of(self, request: AgentRequest, settings: ApiSettings) -> Form:
        return {**request.form, "reasoning_field": settings.reasoning_field}

    def format_of(self, request: AgentRequest) -> AnswerFormat | None:
        wanted = request.parameters.get("response_format") or {}
        return find_format(wanted, wanted.get("json_schema"), "response_format.json_schema")

    def new_encoder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> ChunkEncoder:
        return ChunkEncoder(
            envelope,
            form.get("include_usage", False),
            form.get("reasoning_field", "reasoning_content"),
            form.get("legacy_functions", False),
        )

    def new_builder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> Collector:
        return Collector(
            envelope,
            reasoning_field=form.get("reasoning_field", "reasoning_content"),
            legacy_functions=form.get("legacy_functions", False),
            custom_tools=frozenset(form.get("custom_tools", ())),
        )


CHAT = ChatApi()
