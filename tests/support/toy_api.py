"""The smallest complete `ClientApi`: lines of text over server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oaicompat_proxy.api.protocol import (
    ApiRoute,
    ApiSettings,
    BodyBuilder,
    Clock,
    ErrorAnswer,
    Form,
    ParsedBody,
    RouteAnswer,
    RouteRequest,
    StreamEncoder,
    no_clock,
)
from oaicompat_proxy.api.unkept_answers import UnkeptAnswers
from oaicompat_proxy.core.answer import AnswerFinished, Envelope, Part, TextBatch, TextPart, ToolCallOpened
from oaicompat_proxy.core.errors import InvalidRequest, NotFound, ProxyError
from oaicompat_proxy.core.message import Message, Text
from oaicompat_proxy.core.model_info import Model
from oaicompat_proxy.core.recorded_fields import RecordedFields
from oaicompat_proxy.core.request import AgentRequest, RequestLimits


class ToyEncoder:
    """`+text`, `*tool`, `.reason` and `!error`, each as the data of one event."""

    def __init__(self) -> None:
        self.chunks = 0

    def encode(self, part: Part) -> bytes:
        if isinstance(part, (TextPart, TextBatch)):
            return self._event("+" + part.text)
        if isinstance(part, ToolCallOpened):
            return self._event("*" + part.name)
        return self._event("." + part.reason.value) if isinstance(part, AnswerFinished) else b""

    def ping(self) -> bytes:
        return b"data: ~\n\n"

    def end(self) -> bytes:
        return b"data: bye\n\n"

    def fail(self, error: ProxyError) -> bytes:
        return self._event(f"!{error.code}")

    def _event(self, text: str) -> bytes:
        self.chunks += 1
        return "".join(f"data: {line}\n" for line in text.split("\n")).encode() + b"\n"


class ToyBody:
    """The text alone."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, part: Part) -> None:
        if isinstance(part, (TextPart, TextBatch)):
            self._text += part.text

    def body(self) -> bytes:
        return self._text.encode()


class ToyApi(UnkeptAnswers):
    """A request is the user's words, behind `stream ` if the answer is to be streamed."""

    name = "toy"
    path = "/toy"

    @property
    def routes(self) -> Sequence[ApiRoute]:
        return (
            ApiRoute("GET", "/toy/{name}", _names, _recall),
            ApiRoute("DELETE", "/toy/{name}", _names, _forget),
        )

    operation = "toy"
    id_prefix = "toy-"
    has_tool_items = False
    recorded_fields = RecordedFields((), {}, {})
    private_form: frozenset[str] = frozenset()
    retries = None

    def recognizes(self, headers: Mapping[str, str]) -> bool:
        return "x-toy" in headers

    def find_session(self, headers: Mapping[str, str], request: AgentRequest) -> str:
        return headers.get("x-toy-box", "")

    def read(self, body: bytes, limits: RequestLimits) -> ParsedBody:
        if not body:
            raise InvalidRequest("A toy must say something.", code="silence")
        return ParsedBody({"text": body.decode()}, {}, len(body))

    def answer_entries(self, answer: StreamEncoder | BodyBuilder, form: Form) -> Mapping[str, bytes]:
        assert isinstance(answer, (ToyEncoder, ToyBody))
        return {"last": b"said"}

    def build_request(self, body: ParsedBody, limits: RequestLimits) -> AgentRequest:
        words = body.members["text"]
        message = Message("user", (Text(words.removeprefix("stream ")),))
        stream = words.startswith("stream ")
        return AgentRequest(
            model="", messages=(message,), stream=stream, tool_names=frozenset(), parameters={}, metadata_key="toy"
        )

    def form_of(self, request: AgentRequest, settings: ApiSettings) -> Form:
        return {}

    def new_encoder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> ToyEncoder:
        return ToyEncoder()

    def new_builder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> ToyBody:
        return ToyBody()

    def read_envelope(self, answer: Mapping[str, Any]) -> Envelope:
        return Envelope(str(answer["id"]), 0, "toy")

    def encode_error(self, error: ProxyError, request_id: str = "") -> ErrorAnswer:
        return ErrorAnswer(error.status, {"x-toy": "broken"}, f"!{error.code}".encode())

    def encode_model(self, model: Model, *, created: int, owner: str, endpoints: Sequence[str]) -> bytes:
        return model.id.encode()

    def encode_models(
        self,
        models: Iterable[Model],
        query: Mapping[str, str],
        *,
        created: int,
        owner: str,
        endpoints: Sequence[str],
    ) -> bytes:
        return "\n".join(model.id for model in models).encode()

    def answer_headers(self, request_id: str, milliseconds: int) -> Mapping[str, str]:
        return {"x-toy-request": request_id}

    def rate_headers(
        self, *, limit: int, remaining: int, reset: float, now: float, unit: str = "requests"
    ) -> Mapping[str, str]:
        return {"x-toy-limit": str(limit)}


def _names(request: RouteRequest) -> frozenset[str]:
    return frozenset({request.path["name"]})


def _recall(request: RouteRequest, stored: Mapping[str, bytes]) -> RouteAnswer:
    if not stored:
        raise NotFound("A toy remembers nothing of that.", code="forgotten")
    (body,) = stored.values()
    return RouteAnswer(body + request.query.get("and", "").encode())


def _forget(request: RouteRequest, stored: Mapping[str, bytes]) -> RouteAnswer:
    return RouteAnswer(_recall(request, stored).body, frozenset(stored))
