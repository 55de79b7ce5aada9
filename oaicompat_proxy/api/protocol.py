"""The interface of a client API: it parses requests, and encodes streamed answers, whole answers and errors. The server
uses nothing else of an API.

Each API is a package below `api/`, listed in `api.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from ..core.answer import Envelope, Part
from ..core.errors import ProxyError
from ..core.immutable import readonly
from ..core.json_text import JsonText
from ..core.model_info import Model
from ..core.recorded_fields import RecordedFields
from ..core.request import AgentRequest, AnswerFormat, EntryChange, RequestLimits
from .retry_rules import RetryRules

Form = Mapping[str, Any]
"""Options of one answer's form, from the request and the settings, as JSON values; only the API itself reads them."""


Clock = Callable[[], int | None]
"""Unix time in seconds; None where no time is known, as in a replay."""


def no_clock() -> None:
    return None


LimitedUnit = Literal["requests", "tokens"]
"""The unit of a limit."""


@readonly
class ParsedBody:
    """The JSON object of a request's body. `exact`: JSON texts of members with numbers that Python cannot represent.
    `size`: bytes of the body.
    """

    members: dict[str, Any]
    exact: Mapping[str, JsonText]
    size: int


class ErrorAnswer(NamedTuple):
    """An error as a client of the API expects it; the body is JSON."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Keeping(NamedTuple):
    """How an answer can be read by its id; known from the request's body before it is checked."""

    kept: bool = False
    """Other requests can read the answer by its id, while it is made and afterwards."""
    background: bool = False
    """The client does not wait for the answer: it gets the body so far, and the run continues without a reader."""
    stream: bool = False


class RouteRequest(NamedTuple):
    """A request for an `ApiRoute`. `path`, `query`: the variables of its URL, decoded."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    max_values: int = 100_000
    """Maximum of values and keys in the body."""
    new_id: str = ""
    """A random id for an object that the request creates."""
    now: int = 0
    """Unix time in seconds."""


class RouteAnswer(NamedTuple):
    """`body`: JSON. `deleted`: the names of entries to delete. `added`: entries to store.

    `replaced`: entries to store if no other request has changed them meanwhile; otherwise the answer is made again.

    `stream_from`: the number of events that the client has; the later events are sent in place of the body.
    `model`: the model that the answer is about; if there is none of this name, that error is sent in place of the body.
    """

    body: bytes
    deleted: frozenset[str] = frozenset()
    headers: Mapping[str, str] = MappingProxyType({})
    added: Mapping[str, bytes] = MappingProxyType({})
    replaced: Mapping[str, bytes] = MappingProxyType({})
    stream_from: int | None = None
    model: str | None = None


class ApiRoute(NamedTuple):
    """A route that runs no agent: it answers from stored entries.

    `path`: after the prefix, with variables in braces. `find_names`: the names of the entries that the answer needs.
    `answer`: gets those that exist for the caller; raises ProxyError. `find_run`: the id of the answer that the route
    concerns, whose run may be active. `stops`: whether this run is stopped first.
    """

    method: str
    path: str
    find_names: Callable[[RouteRequest], frozenset[str]]
    answer: Callable[[RouteRequest, Mapping[str, bytes]], RouteAnswer]
    find_run: Callable[[RouteRequest], str] | None = None
    stops: bool = False


class ApiSettings(Protocol):
    """The settings that decide the form of an answer."""

    @property
    def reasoning_field(self) -> str: ...
    @property
    def responses(self) -> str: ...
    @property
    def responses_reasoning(self) -> str: ...
    @property
    def max_answer(self) -> int: ...


class StreamEncoder(Protocol):
    """Encodes one streamed answer: each method returns whole server-sent events, or no bytes."""

    @property
    def chunks(self) -> int:
        """Number of events encoded so far, without keep-alives."""

    def encode(self, part: Part) -> bytes: ...

    def ping(self) -> bytes:
        """A keep-alive that is an event of the API."""

    def end(self) -> bytes:
        """The bytes after the last part of a complete answer."""

    def fail(self, error: ProxyError) -> bytes:
        """The end of an answer that failed after its status was sent."""


class BodyBuilder(Protocol):
    """Builds one answer that is sent whole: `add` each part, then `body`."""

    def add(self, part: Part) -> None: ...

    def body(self) -> bytes: ...


class ClientApi(Protocol):
    """One client API."""

    @property
    def name(self) -> str:
        """The API's name in recordings, metrics and logs."""

    @property
    def path(self) -> str:
        """The path of its endpoint behind the prefix; begins with a slash."""

    @property
    def routes(self) -> Sequence[ApiRoute]:
        """Its routes below `path` that run no agent."""

    @property
    def operation(self) -> str:
        """The API's `gen_ai.operation.name` in OpenTelemetry's semantic conventions."""

    @property
    def id_prefix(self) -> str:
        """The prefix of each answer's id."""

    @property
    def has_tool_items(self) -> bool:
        """Whether an answer can show the tools that the agent runs itself as items."""

    @property
    def recorded_fields(self) -> RecordedFields:
        """The fields of its answers that stay readable in a masked recording."""

    @property
    def private_form(self) -> frozenset[str]:
        """The members of a form that contain the user's text; a masked recording masks them."""

    @property
    def retries(self) -> RetryRules | None:
        """None if no client of this API identifies its requests; then no body is parsed for it."""

    def recognizes(self, headers: Mapping[str, str]) -> bool:
        """Whether a request at a path that all APIs share, such as `/models`, comes from a client of this API."""

    def find_session(self, headers: Mapping[str, str], request: AgentRequest) -> str:
        """The session name in the form of the API's own client; empty: none. Used unless the setting `session_from`
        names other places.
        """

    def user_of(self, members: Mapping[str, Any], field: str) -> object:
        """The person for whom the request is made, from its body; values other than strings mean no person. `field`:
        `user` or `safety_identifier`, OpenAI's names.
        """

    @property
    def keeps_answers(self) -> bool:
        """Whether answers of this API can be read by their ids; then `keeping_of` is called before the run begins."""

    def keeping_of(self, body: ParsedBody, settings: ApiSettings) -> Keeping:
        """Raises nothing, whatever the body holds."""

    def read(self, body: bytes, limits: RequestLimits) -> ParsedBody:
        """The first half of parsing. Raises InvalidRequest."""

    def find_references(self, body: ParsedBody) -> frozenset[str]:
        """The names of the stored entries that the body refers to."""

    def find_changed(self, body: ParsedBody) -> str:
        """The name of the one referenced entry that the request's answer changes; empty: none."""

    def change(
        self, change: EntryChange, stored: Mapping[str, bytes], answer: StreamEncoder | BodyBuilder
    ) -> Mapping[str, bytes]:
        """The entry after the change by a complete answer; empty if it stays. `stored`: the entry, if it exists.
        Raises ProxyError.
        """

    def expand(self, body: ParsedBody, stored: Mapping[str, bytes]) -> ParsedBody:
        """The body with stored entries in place of references. `stored`: the found entries. Raises InvalidRequest."""

    def request_entries(self, request: AgentRequest, envelope: Envelope) -> Mapping[str, bytes]:
        """The entries to store for later requests that refer to this request's answer."""

    def answer_entries(self, answer: StreamEncoder | BodyBuilder, form: Form) -> Mapping[str, bytes]:
        """The entries to store for a complete answer. The entry with the answer's id as its name is the body, which
        clients read by this id.
        """

    def first_body(self, envelope: Envelope, form: Form, *, queued: bool) -> bytes:
        """The body of a kept answer that has no part yet. `queued`: its run has not begun."""

    def last_body(self, body: bytes, error: ProxyError, encoder: StreamEncoder | None) -> bytes:
        """The body of a kept answer whose run failed or was stopped. `body`: the last stored one. `encoder`: has
        encoded the answer so far; None if another process has.
        """

    def lost_end(self, body: bytes, error: ProxyError, number: int) -> bytes:
        """Last events for the stream of a kept answer whose own were lost. `body`: the last stored one. `number`: of
        events that the client has.
        """

    def build_request(self, body: ParsedBody, limits: RequestLimits) -> AgentRequest:
        """The second half; other requests may be served in between. Raises InvalidRequest."""

    def form_of(self, request: AgentRequest, settings: ApiSettings) -> Form: ...

    def format_of(self, request: AgentRequest) -> AnswerFormat | None:
        """The JSON format that the request wants for the answer's text; None for free text. Raises nothing."""

    def new_encoder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> StreamEncoder:
        """`clock`: for an API whose answers have the time of their completion."""

    def new_builder(self, envelope: Envelope, form: Form, clock: Clock = no_clock) -> BodyBuilder: ...

    def read_envelope(self, answer: Mapping[str, Any]) -> Envelope:
        """The envelope in the first object of a recorded answer. Raises KeyError, TypeError, ValueError without one."""

    def encode_error(self, error: ProxyError, request_id: str = "") -> ErrorAnswer:
        """`request_id`: empty where no request is answered, as in a replay."""

    def encode_model(self, model: Model, *, created: int, owner: str, endpoints: Sequence[str]) -> bytes:
        """One model. `created`: Unix time in seconds. `owner`: the dialect behind it, such as `agentick`.
        `endpoints`: the paths at which it is served.
        """

    def encode_models(
        self,
        models: Iterable[Model],
        query: Mapping[str, str],
        *,
        created: int,
        owner: str,
        endpoints: Sequence[str],
    ) -> bytes:
        """All models, or the page of them that `query` asks for; the other parameters as in `encode_model`.

        Raises InvalidRequest for a page that cannot be.
        """

    def answer_headers(self, request_id: str, milliseconds: int) -> Mapping[str, str]:
        """Headers of every answer, errors too. `milliseconds`: since the request's headers were read."""

    def rate_headers(
        self, *, limit: int, remaining: int, reset: float, now: float, unit: LimitedUnit = "requests"
    ) -> Mapping[str, str]:
        """Headers about a limit of requests per minute, or of tokens per day or month. `now`: Unix time. `reset`:
        seconds from `now` until the whole limit is available.
        """
