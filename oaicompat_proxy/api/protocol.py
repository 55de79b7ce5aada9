"""The interface of a client API, and all that the server knows of one: it parses requests, encodes streamed and whole
answers, and encodes errors.

Each API is a room below `api/` and stands in `api.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from ..core.answer import Envelope, Part
from ..core.errors import ProxyError
from ..core.json_text import JsonText
from ..core.model_info import Model
from ..core.recorded_fields import RecordedFields
from ..core.request import AgentRequest, AnswerFormat, EntryChange, RequestLimits

Form = Mapping[str, Any]
"""The choices of client and operator for the form of one answer, as JSON values; only the API itself reads them."""


LimitedUnit = Literal["requests", "tokens"]
"""What a limit counts."""


class RetryKey(NamedTuple):
    """`content`: bytes that are equal in a request and its retries, and in no other request of the same caller."""

    content: bytes
    stream: bool | None = None
    """The form in which this request is to be answered, if that is no part of `content`."""
    failures_only: bool = False
    """An equal request may be meant as another one, unless it follows a failure at once."""


RetryKeyReader = Callable[[bytes, Mapping[str, str], int], RetryKey | None]
"""A request's body, its headers, and the most values and keys of the body → its key. None: the client does not say
which request this is. Raises nothing.
"""


class RetryRules(NamedTuple):
    """How clients of an API repeat a request that has no `Idempotency-Key`."""

    read_key: RetryKeyReader
    convert: Callable[[bytes, bool], bytes] | None = None
    """A complete answer, and whether it is to be a stream → the same answer in that form."""


class ParsedBody(NamedTuple):
    """The JSON object of a request's body. `exact`: the members whose numbers a Python value cannot hold.
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
    """How an answer can be read, as the body of its request says before it is checked."""

    kept: bool = False
    """Other requests can read the answer by its id, while it is made and afterwards."""
    background: bool = False
    """The client does not wait for the answer: it gets the answer's body so far, and the run needs no reader."""
    stream: bool = False


class RouteRequest(NamedTuple):
    """A request at one of an API's routes that run no agent. `path`, `query`: the variables of its URL, decoded."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    max_values: int = 100_000
    """Values and keys of the body."""
    new_id: str = ""
    """For what the request creates."""
    now: int = 0
    """Unix time in seconds."""


class RouteAnswer(NamedTuple):
    """`body`: JSON. `deleted`: the names of stored entries that go with it. `added`: entries that are stored.

    `replaced`: entries that are stored if they are still what the answer was made of, or if there are none; else the
    answer is made again.

    `stream_from`: the number of events of the answer that the client has; the others are sent in place of the body.
    """

    body: bytes
    deleted: frozenset[str] = frozenset()
    headers: Mapping[str, str] = MappingProxyType({})
    added: Mapping[str, bytes] = MappingProxyType({})
    replaced: Mapping[str, bytes] = MappingProxyType({})
    stream_from: int | None = None


class ApiRoute(NamedTuple):
    """A route that runs no agent: its answer is made of what is stored of earlier answers.

    `path`: behind the prefix; a variable stands in braces. `find_names`: the names of the stored entries that the
    answer needs. `answer`: takes those that the caller has; raises ProxyError. `find_run`: the id of the answer that
    the route is about, if it may still be made. `stops`: whether its run is stopped first.
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
        """What the id of each answer begins with."""

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
        """None if no client of this API names its requests: the body is not parsed for that then."""

    def recognizes(self, headers: Mapping[str, str]) -> bool:
        """Whether a request at a path that all APIs share, such as that of the models, is in the API's words."""

    def find_session(self, headers: Mapping[str, str], request: AgentRequest) -> str:
        """The name that the API's own clients give the request's session; empty: none. It counts where the operator
        has chosen no place for names.
        """

    def user_of(self, members: Mapping[str, Any], field: str) -> object:
        """What a body says about the person for whom it is sent; anything but a text is nobody. `field`: `user` or
        `safety_identifier`, as OpenAI calls them.
        """

    @property
    def keeps_answers(self) -> bool:
        """Whether an answer of this API can be read by its id: the body is read before the run begins then."""

    def keeping_of(self, body: ParsedBody, settings: ApiSettings) -> Keeping:
        """Raises nothing, whatever the body holds."""

    def read(self, body: bytes, limits: RequestLimits) -> ParsedBody:
        """The first half of parsing. Raises InvalidRequest."""

    def find_references(self, body: ParsedBody) -> frozenset[str]:
        """The names of the stored entries that the body refers to."""

    def find_changed(self, body: ParsedBody) -> str:
        """The name of the one entry among its references that the answer to the body changes; empty: none."""

    def change(
        self, change: EntryChange, stored: Mapping[str, bytes], answer: StreamEncoder | BodyBuilder
    ) -> Mapping[str, bytes]:
        """The entry as a complete answer changes it; nothing if it stays. `stored`: the entry, if it is there. Raises
        ProxyError.
        """

    def expand(self, body: ParsedBody, stored: Mapping[str, bytes]) -> ParsedBody:
        """The body with the entries that it refers to. `stored`: those that were found. Raises InvalidRequest."""

    def request_entries(self, request: AgentRequest, envelope: Envelope) -> Mapping[str, bytes]:
        """The entries to store for later requests that refer to this request's answer."""

    def answer_entries(self, answer: StreamEncoder | BodyBuilder, form: Form) -> Mapping[str, bytes]:
        """The entries to store of a complete answer. The entry whose name is the answer's id is the body of the answer,
        which a client gets that asks for it.
        """

    def first_body(self, envelope: Envelope, form: Form, *, queued: bool) -> bytes:
        """The body of a kept answer that has no part yet. `queued`: its run has not begun."""

    def last_body(self, body: bytes, error: ProxyError, encoder: StreamEncoder | None) -> bytes:
        """The body of a kept answer whose run has failed or was stopped, instead of the one that was stored last.
        `encoder`: of the part that was made, if it was made in this process.
        """

    def lost_end(self, body: bytes, error: ProxyError, number: int) -> bytes:
        """The last events of a kept answer's stream whose own ones are lost. `body`: as it was stored last.
        `number`: of events that the client has.
        """

    def build_request(self, body: ParsedBody, limits: RequestLimits) -> AgentRequest:
        """The second half; other requests may be served in between. Raises InvalidRequest."""

    def form_of(self, request: AgentRequest, settings: ApiSettings) -> Form: ...

    def format_of(self, request: AgentRequest) -> AnswerFormat | None:
        """The JSON that the answer's text is to be, if the request says so. Raises nothing."""

    def new_encoder(self, envelope: Envelope, form: Form) -> StreamEncoder: ...

    def new_builder(self, envelope: Envelope, form: Form) -> BodyBuilder: ...

    def read_envelope(self, answer: Mapping[str, Any]) -> Envelope:
        """Of a recorded answer, from its first object. Raises KeyError, TypeError and ValueError if it has none."""

    def encode_error(self, error: ProxyError, request_id: str = "") -> ErrorAnswer:
        """`request_id`: empty where no request is answered, as in a replay."""

    def encode_model(self, model: Model, *, created: int, owner: str, endpoints: Sequence[str]) -> bytes:
        """One model. `created`: Unix time in seconds. `owner`: the dialect behind it, such as `agentick`.
        `endpoints`: the paths at which it is served.
        """

    def encode_models(self, models: Iterable[Model], *, created: int, owner: str, endpoints: Sequence[str]) -> bytes:
        """All models; the parameters as in `encode_model`."""

    def answer_headers(self, request_id: str, milliseconds: int) -> Mapping[str, str]:
        """Headers of every answer, errors too. `milliseconds`: since the request's headers were read."""

    def rate_headers(
        self, *, limit: int, remaining: int, reset: float, now: float, unit: LimitedUnit = "requests"
    ) -> Mapping[str, str]:
        """Headers about a limit of requests per minute, or of tokens per day or month. `now`: Unix time. `reset`:
        seconds from then until the whole limit is available.
        """
