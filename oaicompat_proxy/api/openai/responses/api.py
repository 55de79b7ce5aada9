"""The `ClientApi` of the Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.answer import Envelope
from ....core.confirmation_call import CONFIRM_TOOL
from ....core.errors import InvalidRequest, ProxyError
from ....core.request import AgentRequest, AnswerFormat, EntryChange, RequestLimits
from ...protocol import ApiSettings, BodyBuilder, Clock, Form, Keeping, ParsedBody, StreamEncoder, no_clock
from ...retry_rules import RetryRules
from ..answer_format import find_format
from ..openai_api import OpenAiApi
from .answer.body import ResponseBuilder
from .answer.encoder import ResponseEncoder, encode_lost_end
from .answer.output import OutputOptions
from .answer.response_object import ResponseObject, ResponseState, encode_echo, failed_body
from .approvals import approval_of
from .recorded_fields import RECORDED_FIELDS
from .request import request
from .request.retries import read_retry_key
from .storage.routes import ROUTES
from .storage.stored_answer import apply_change, conversation_name, expand, find_references, input_entry, output_entries


class ResponsesApi(OpenAiApi):
    """`POST …/responses`. A form has `echo`, `custom_tools`, `server_labels`, `reasoning` and `max_answer`, and the
    members of an approval.
    """

    name = "responses"
    path = "/responses"
    routes = ROUTES
    operation = "chat"
    id_prefix = "resp_"
    private_form = frozenset({"echo", "approval", "approved_arguments", "session_token"})
    has_tool_items = True
    recorded_fields = RECORDED_FIELDS

    conversation_field = "input"
    keeps_answers = True

    @property
    def retries(self) -> RetryRules:
        return RetryRules(read_retry_key)

    def keeping_of(self, body: ParsedBody, settings: ApiSettings) -> Keeping:
        """`store: true` and `background` keep the events, too, which doubles the cost of a delta. By default only the
        complete answer is stored.
        """
        members = body.members
        if settings.responses != "stored" or members.get("store") is False:
            return Keeping()
        background = members.get("background") is True
        return Keeping(background or members.get("store") is True, background, members.get("stream") is True)

    def read(self, body: bytes, limits: RequestLimits) -> ParsedBody:
        return request.read(body, limits)

    def build_request(self, body: ParsedBody, limits: RequestLimits) -> AgentRequest:
        return request.build_request(body, limits)

    def format_of(self, request: AgentRequest) -> AnswerFormat | None:
        wanted = (request.parameters.get("text") or {}).get("format")
        return find_format(wanted, wanted, "text.format")

    def find_references(self, body: ParsedBody) -> frozenset[str]:
        return find_references(body.members)

    def find_changed(self, body: ParsedBody) -> str:
        return conversation_name(body.members)

    def change(
        self, change: EntryChange, stored: Mapping[str, bytes], answer: StreamEncoder | BodyBuilder
    ) -> Mapping[str, bytes]:
        assert isinstance(answer, (ResponseEncoder, ResponseBuilder))
        return apply_change(change, stored, answer.id, answer.output.encode())

    def expand(self, body: ParsedBody, stored: Mapping[str, bytes]) -> ParsedBody:
        return expand(body, stored)

    def request_entries(self, request: AgentRequest, envelope: Envelope) -> Mapping[str, bytes]:
        return input_entry(envelope.id, request.stored_input)

    def answer_entries(self, answer: StreamEncoder | BodyBuilder, form: Form) -> Mapping[str, bytes]:
        assert isinstance(answer, (ResponseEncoder, ResponseBuilder))
        return output_entries(answer.id, answer.body(), answer.output.entries()) if form.get("stored") else {}

    def first_body(self, envelope: Envelope, form: Form, *, queued: bool) -> bytes:
        return ResponseObject(envelope, _echo(form)).encode(ResponseState("queued" if queued else "in_progress"))

    def last_body(self, body: bytes, error: ProxyError, encoder: StreamEncoder | None) -> bytes:
        assert encoder is None or isinstance(encoder, ResponseEncoder)
        return failed_body(body, error, b"" if encoder is None else encoder.output.encode())

    def lost_end(self, body: bytes, error: ProxyError, number: int) -> bytes:
        return encode_lost_end(body, error, number)

    def read_envelope(self, answer: Mapping[str, Any]) -> Envelope:
        response = answer.get("response", answer)
        return Envelope(str(response["id"]), int(response["created_at"]), str(response["model"]))

    def form_of(self, request: AgentRequest, settings: ApiSettings) -> Form:
        form = {**request.form, "reasoning": settings.responses_reasoning, "max_answer": settings.max_answer}
        if request.session_token:
            form["session_token"] = request.session_token
        if settings.responses == "stateless":
            if request.form["echo"].get("background"):
                raise InvalidRequest(
                    "Unsupported parameter: 'background' is not supported: this server stores no responses.",
                    param="background",
                    code="unsupported_parameter",
                )
            form |= {"stored": False, "echo": {**request.form["echo"], "store": False}}
        return form

    def new_encoder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> ResponseEncoder:
        return ResponseEncoder(
            envelope,
            echo=_echo(form),
            options=_options(envelope, form),
            max_answer=form.get("max_answer", UNBOUNDED),
            clock=clock,
        )

    def new_builder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> ResponseBuilder:
        return ResponseBuilder(envelope, echo=_echo(form), options=_options(envelope, form), clock=clock)


UNBOUNDED = 1 << 40
"""The limit of an answer that is encoded again from a recording, whose size is bounded."""


def _echo(form: Form) -> bytes:
    """The request's fields in the form. A masked recording has a text in their place, which counts as none."""
    echo = form.get("echo")
    return encode_echo(echo if isinstance(echo, dict) else {})


def _options(envelope: Envelope, form: Form) -> OutputOptions:
    asks = envelope.model in form.get("server_labels", ())
    return OutputOptions(
        server_label=envelope.model,
        reasoning=form.get("reasoning", "summary"),
        custom_tools=frozenset(form.get("custom_tools", ())),
        question_tool=CONFIRM_TOOL if asks else None,
        approval=approval_of(form),
        token=form.get("session_token", ""),
    )


RESPONSES = ResponsesApi()
