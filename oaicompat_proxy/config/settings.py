"""Every setting, its default, and the reason for the default.

The one definition: the command line, the environment (`OAICOMPAT_…`), the help text and the table in `config/README.md`
are made from these fields. Times are seconds, sizes are bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

from .fields import ConfigError as ConfigError
from .fields import (
    check_callers,
    check_dialect,
    check_field,
    check_hosts,
    check_networks,
    check_session_sources,
    check_url,
    field,
    parse_model_settings,
)
from .fields import flag as flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings. Raises ConfigError for invalid values."""

    # gateway
    upstream: str = field(
        "",
        "Base address of the agent gateway, such as http://127.0.0.1:18790 or unix:/run/gateway.sock.",
        metavar="URL",
        gateway=True,
    )
    upstream_token: str = field(
        "",
        "Bearer token for the gateway; no client ever sees it.",
        metavar="TOKEN",
        secret=True,
        gateway=True,
        header=True,
    )
    dialect: str = field(
        "agentick",
        "Protocol of the upstream: `agentick` for its gateway, `ag-ui` for agents, whose own address --upstream is "
        "then.",
        choices=("agentick", "ag-ui"),
        gateway=True,
    )
    demo: bool = field(False, "Use the embedded demo agent instead of a gateway.")
    wire: str = field(
        "0.9",
        "Release of Agentick whose protocol the gateway of the --demo agent follows.",
        choices=("0.9", "0.14"),
    )
    model: Mapping[str, str] = field(
        {},
        "Offer the app APP as model NAME; with `ag-ui` APP is a URL or a path. May be repeated. Empty is the default "
        "app.",
        metavar="NAME=APP",
        gateway=True,
    )
    model_setting: Mapping[str, str] = field(
        {},
        "Setting for one model, such as coder:history=last; may be repeated. A pattern, such as gpt-*, applies to "
        "many models; an exact name wins over patterns, a longer pattern over a shorter one. SETTING is one of "
        "tick_separator, reasoning_field, responses_reasoning, server_tools, history, max_fold.",
        metavar="MODEL:SETTING=VALUE",
        gateway=True,
    )

    # address and process, log, metrics, traces
    host: str = field(
        "127.0.0.1",
        "Address to listen on. The default is the loopback address, which nginx on the same machine reaches.",
        metavar="ADDRESS",
    )
    port: int = field(8700, "Port to listen on; 0 takes any free one.", metavar="PORT", least=0, most=65535)
    unix_socket: str = field("", "Socket file to listen on, instead of --host and --port.", metavar="PATH")
    unix_socket_mode: str = field(
        "660",
        "Permissions of the socket file, in octal: who may connect. nginx needs to be in its group.",
        metavar="MODE",
    )
    workers: int = field(
        1, "Processes that serve, for more than one core. Several processes are run by gunicorn.", metavar="N", least=1
    )
    prefix: str = field(
        "/v1",
        "Path in front of every endpoint; OpenAI's clients expect /v1.",
        metavar="PATH",
        gateway=True,
        reload=False,
    )
    log_level: str = field(
        "info", "Least severe level that is logged.", choices=("debug", "info", "warning", "error"), reload=True
    )
    log_format: str = field(
        "text", "Form of log lines: text for people, or one JSON object for each line.", choices=("text", "json")
    )
    log_sample: float = field(
        1.0,
        "Share of the successful runs that are logged, from 0 to 1; all other runs are always logged.",
        least=0,
        most=1,
    )
    metrics_from: tuple[str, ...] = field(
        ("127.0.0.0/8", "::1/128"),
        "Address or network that may read /metrics; may be repeated. The default is this machine; clients that come "
        "through nginx need an entry, too.",
        metavar="CIDR",
    )
    trace: bool = field(
        False, "Send a trace of each run to OTEL_EXPORTER_OTLP_ENDPOINT; needs oaicompat-proxy[tracing]."
    )
    trace_content: bool = field(
        False, "Include prompts and answers in traces: everyone who reads traces can then read conversations."
    )

    cors: str = field(
        "",
        "Origins whose pages may call from a browser, separated by commas, or *; none by default. Without keys, pages "
        "of other origins are refused.",
        metavar="ORIGINS",
        reload=True,
    )
    allowed_host: tuple[str, ...] = field(
        (),
        "Host name that clients may call where no key is required, as in the `Host` header, without the port; may be "
        "repeated, * for any. `localhost` and IP addresses are always allowed. With --no-auth beyond the loopback "
        "every name is allowed, unless one is given here.",
        metavar="NAME",
        reload=True,
    )

    # access
    api_key: tuple[str, ...] = field(
        (),
        "Key that a client must send; may be repeated. Everyone on the machine can read a command line, so prefer the "
        "environment or the file.",
        metavar="KEY",
        secret=True,
        reload=True,
    )
    api_keys_file: str = field(
        "",
        "TOML file with the names, hashes and limits of keys. A change applies within a second; an invalid file is "
        "logged and ignored.",
        metavar="FILE",
        reload=True,
    )
    no_auth: bool = field(
        False,
        "Require no key, although other machines can reach the address. On the loopback no key is required anyway.",
        reload=True,
    )
    pass_authorization: bool = field(
        False,
        "Send the client's Authorization header to the gateway, in place of the token. Without this setting the "
        "header is sent nowhere.",
        reload=True,
    )
    trusted_proxy: tuple[str, ...] = field(
        ("127.0.0.0/8", "::1/128"),
        "Address or network whose X-Forwarded-For header is trusted; may be repeated. The default is this machine, "
        "for nginx beside the proxy.",
        metavar="CIDR",
        reload=True,
    )
    requests_per_minute: int = field(
        0,
        "Requests that a key may make in a minute, unless the keys file says otherwise; 0 for no limit. Counted in "
        "Redis if there is one. If Redis fails, each worker counts alone, so that no request is refused for it.",
        least=0,
        reload=True,
    )
    max_runs: int = field(
        10_000,
        "Runs at the same time in a worker. Each takes two sockets and about 40 KB.",
        least=1,
        gateway=True,
        reload=False,
    )
    max_runs_per_key: int = field(
        0,
        "Runs of one key at the same time, unless the keys file says otherwise; 0 for no limit per key.",
        least=0,
        reload=True,
    )
    max_waiting: int = field(
        1000,
        "Requests in a worker that wait for a run to end, in their session or in any; more are refused.",
        least=0,
        gateway=True,
        reload=False,
    )
    max_waiting_bytes: int = field(
        256 * 1024 * 1024,
        "Bytes of the bodies of waiting requests. A conversation needs several times its bytes of memory.",
        least=0,
        gateway=True,
        reload=False,
    )
    queue_wait: float = field(
        10.0,
        "Seconds that such a request waits for a free run. A client that gets no answer for longer should try another "
        "server.",
        least=0,
        gateway=True,
        reload=False,
    )

    # answers
    tick_separator: str = field(
        "\n\n", "Text between the texts of two model steps.", metavar="TEXT", gateway=True, model=True
    )
    reasoning_field: str = field(
        "reasoning_content",
        "Field for reasoning. Every client that reads reasoning reads the default.",
        choices=("reasoning_content", "reasoning", "both", "none"),
        gateway=True,
        model=True,
    )

    responses: str = field(
        "stored",
        "Responses API: `stored` keeps answers in memory, for a day at most, so that a request may refer to them by "
        "`previous_response_id` or `item_reference`; `stateless` keeps none.",
        choices=("stored", "stateless"),
        gateway=True,
    )
    responses_reasoning: str = field(
        "summary",
        "Form of reasoning in the Responses API: a `summary`, which most clients show, or the reasoning `text`.",
        choices=("summary", "text"),
        gateway=True,
        model=True,
    )

    server_tools: str = field(
        "auto",
        "Where the actions of the agent's own tools are shown. `auto`: as items in the Responses API, which has items "
        "for them, and nowhere in other APIs.",
        choices=("auto", "hide", "reasoning", "content"),
        gateway=True,
        model=True,
    )
    tool_output_max: int = field(
        16 * 1024,
        "Characters of a tool's result, and of its arguments, in such an item.",
        least=0,
        gateway=True,
    )
    history: str = field(
        "auto",
        "Messages of a conversation that the agent gets: `fold` puts the earlier messages as a transcript in front of "
        "the last one, `last` sends the messages after the last answer, `full` sends all messages to a gateway that "
        "takes them. `auto` folds, except in a session that knows the conversation.",
        choices=("auto", "fold", "last", "full"),
        gateway=True,
        model=True,
    )
    max_fold: int = field(
        2 * 1024 * 1024,
        "Characters of a folded transcript: more than any model reads. The oldest messages are left out.",
        least=1000,
        gateway=True,
        model=True,
    )

    # sessions and confirmations
    session_from: tuple[str, ...] = field(
        ("x-session-id",),
        "Place in a request that names its session: `x-session-id` or `header:NAME` for a header; `user`, "
        "`prompt_cache_key` or `metadata.session_id` for a field; `none` for no place. May be repeated; the first "
        "place that has a name counts.",
        metavar="PLACE",
        gateway=True,
    )
    session_names: str = field(
        "scoped",
        "Meaning of such a name: `scoped`, a session of this proxy, separate for each key; `native`, for one trusted "
        "user, the gateway's own session with that key, which another front end may have begun. If keys are required, "
        "native names need native_sessions = true in the key's entry.",
        choices=("scoped", "native"),
        gateway=True,
    )
    sessions: str = field(
        "fresh",
        "Session of a request that names none: `fresh`, a new one that is closed after the answer; `recognise`, the "
        "session that has answered the same conversation, if there is one.",
        choices=("fresh", "recognise"),
        gateway=True,
        reload=False,
    )
    session_secret: tuple[str, ...] = field(
        (),
        "Secret that signs names of sessions and ids of questions, the same for all workers and replicas, such as the "
        "output of openssl rand -hex 32. May be repeated: the first signs, the others verify. By default derived from "
        "--upstream-token; without a token it is random, and stored in Redis if there is one.",
        metavar="TEXT",
        secret=True,
        one_or_several=True,
        gateway=True,
    )
    session_secret_file: str = field(
        "",
        "File with that secret, one on each line, the newest first. It is created with a random secret if it is "
        "missing. Without these settings, named sessions and open questions may end with the process.",
        metavar="FILE",
        gateway=True,
    )
    session_wait: float = field(
        10.0,
        "Seconds that a request waits for the previous run in its session, before it gets 409.",
        least=0,
        gateway=True,
    )
    session_drain: float = field(
        300.0,
        "Seconds that a run continues without its client, in a session that keeps its history.",
        least=0.001,
        gateway=True,
    )
    session_ttl: float = field(
        3600.0,
        "Seconds that a session whose conversation may continue is kept after its last answer: a pause of an hour.",
        least=1,
        gateway=True,
        reload=False,
    )
    max_sessions: int = field(
        10_000,
        "Sessions that are kept so; the gateway holds the history of each in memory.",
        least=1,
        gateway=True,
        reload=False,
    )
    redis: str = field(
        "",
        "Redis that shares session locks and known conversations between workers, such as redis://127.0.0.1/0.",
        metavar="URL",
        secret=True,
    )
    confirmations: str = field(
        "deny",
        "What happens when a tool of the agent waits for a person: `deny` ends the run with an error, `ask` asks the "
        "client by a tool call, `approve` approves it.",
        choices=("ask", "deny", "approve"),
        gateway=True,
    )
    confirmation_ttl: float = field(
        3600.0, "Seconds that the client has to answer such a question.", least=1, gateway=True
    )
    confirmation_wait: float = field(
        30.0,
        "Seconds until the next event of a run that was answered, unless the gateway says that the run continues; "
        "some gateways stop sending its events.",
        least=0.001,
        gateway=True,
    )

    # time limits
    connect_timeout: float = field(
        5.0,
        "Seconds for a connection to the gateway, which is nearby.",
        least=0.001,
        gateway=True,
    )
    connect_retries: int = field(
        4,
        "Further attempts to connect for a run, within that time, after pauses of 0.1 s, 0.2 s, 0.4 s, …: long enough "
        "for a gateway that restarts. Nothing but connecting is ever repeated.",
        least=0,
        most=100,
        gateway=True,
    )
    first_event_wait: float = field(
        10.0,
        "Seconds for the first event of a run before status 200 is sent; until then a failure is an HTTP status. Well "
        "below the 60 s after which nginx gives up.",
        least=0,
        gateway=True,
    )
    first_event_timeout: float = field(
        120.0,
        "Seconds for the agent's first byte, after which the run is stopped; 0 for no limit. A healthy gateway "
        "answers at once; two minutes let a sleeping one start.",
        least=0,
        gateway=True,
    )
    silence_timeout: float = field(
        600.0,
        "Seconds for the agent's next byte. A tool may take minutes, and clients give up after ten.",
        least=0.001,
        gateway=True,
    )
    run_timeout: float = field(
        3600.0,
        "Seconds for a whole run, which is then stopped; 0 for no limit. One hour, as proxy_read_timeout in the nginx "
        "files: an agent in a loop must end.",
        least=0,
        gateway=True,
    )
    keep_alive: float = field(
        15.0,
        "Seconds between the keep-alives of a silent stream; a quarter of nginx's 60 s.",
        least=0.001,
        gateway=True,
    )
    keep_alive_form: str = field(
        "chunk",
        "Form of a keep-alive: a `chunk` with an empty delta, which every client accepts, or a `comment` of the event "
        "stream, which clients do not see, but which ends the stream in some (OpenAI's Go client up to 3.42).",
        choices=("chunk", "comment"),
        gateway=True,
    )
    json_keep_alive: float = field(
        0.0,
        "Seconds between line ends in front of an answer that is not streamed; 0 sends none. After a line end a "
        "failure can only break the answer off, and the official clients then run the agent again.",
        least=0,
        gateway=True,
    )
    send_timeout: float = field(
        120.0,
        "Seconds for a client to read what is sent; a client that reads nothing for longer is disconnected.",
        least=0.001,
        gateway=True,
    )
    head_timeout: float = field(
        10.0, "Seconds for a client to send a request's first line and headers, once it has begun.", least=0.001
    )
    body_timeout: float = field(30.0, "Seconds for a client to send its request's body.", least=0.001, gateway=True)
    idle_timeout: float = field(
        75.0,
        "Seconds that a connection without a request is kept: longer than the 60 s of nginx, because a request that "
        "crosses the close would be lost.",
        least=0.001,
    )
    close_timeout: float = field(
        5.0,
        "Seconds for the gateway to close a session, in the background after the answer.",
        least=0.001,
        gateway=True,
    )
    drain_delay: float = field(
        0.0,
        "Seconds between SIGTERM and the end of listening, in which /readyz answers 503: for a balancer that has to "
        "notice. Kubernetes needs some seconds, nginx none.",
        least=0,
    )
    drain_timeout: float = field(
        30.0, "Seconds for running answers to end after SIGTERM; then each ends with an error.", least=0
    )
    models_ttl: float = field(
        30.0, "Seconds that a list of models is cached; clients request it at every start.", least=0, gateway=True
    )

    # idempotency
    idempotency_ttl: float = field(
        600.0,
        "Seconds that the answer to a request with an `Idempotency-Key` or a turn id is stored: programs repeat a "
        "request within seconds, people within minutes.",
        least=0,
        gateway=True,
        reload=False,
    )
    idempotency_grace: float = field(
        30.0,
        "Seconds that the run of such a request continues while no client reads it, at most 8 with a turn id; the "
        "official clients return within 8 s.",
        least=0,
        gateway=True,
        reload=False,
    )
    max_idempotent: int = field(
        1000,
        "Requests with an `Idempotency-Key` or a turn id that are remembered; beyond it a caller's oldest one is "
        "forgotten.",
        least=1,
        gateway=True,
        reload=False,
    )
    max_idempotent_answer: int = field(
        4 * 1024 * 1024,
        "Bytes of a stored answer, about twelve thousand chunks. A longer answer reaches the clients that are reading "
        "it, and no later one.",
        least=0,
        gateway=True,
        reload=False,
    )
    max_idempotent_bytes: int = field(
        64 * 1024 * 1024,
        "Bytes of all stored answers; the oldest are dropped first.",
        least=0,
        gateway=True,
        reload=False,
    )

    # size limits
    max_connections: int = field(
        16_000,
        "Connections of clients at the same time in each worker; more are refused with 503. Each may need two open "
        "files.",
        least=1,
    )
    max_line: int = field(
        8190, "Bytes of a request's first line, and of each header; the same as nginx's default.", least=100
    )
    max_headers: int = field(100, "Headers of a request.", least=1)
    max_head: int = field(
        64 * 1024, "Bytes of a request's first line and headers together, if they do not arrive in one piece.", least=1
    )
    max_body: int = field(
        32 * 1024 * 1024, "Bytes of a request after decompression: room for some pictures.", least=1, reload=True
    )
    max_media: int = field(
        20 * 1024 * 1024, "Bytes of all pictures, sounds and files of a request.", least=0, gateway=True
    )
    max_text: int = field(
        8 * 1024 * 1024,
        "Bytes of a request without its pictures, sounds and files: more than any model reads.",
        least=1,
        gateway=True,
    )
    max_values: int = field(
        100_000,
        "JSON values and keys of a request, counted before it is parsed; parsing keeps every other request waiting.",
        least=100,
        gateway=True,
    )
    max_messages: int = field(4096, "Messages of a request: twice as many as OpenAI accepts.", least=1, gateway=True)
    max_parts: int = field(8192, "Content parts and tool calls of all messages of a request.", least=1, gateway=True)
    max_tools: int = field(1024, "Tools of a request.", least=1, gateway=True)
    max_answer: int = field(
        32 * 1024 * 1024,
        "Characters of an answer that is not streamed, and of the tool calls and citations that are held back in any "
        "answer. A stream of the Responses API repeats its text at its end, so it has this limit, too; the text of "
        "other streams has none.",
        least=1,
        gateway=True,
    )
    max_frame: int = field(
        16 * 1024 * 1024,
        "Bytes of one event of the agent that has to be decoded; debugging events are not decoded and may be longer.",
        least=1024,
        gateway=True,
    )

    # diagnostics and recordings
    diagnostics: str = field(
        "on",
        "Answer the requests of the `doctor` command: a few short test streams, and what the gateway can do.",
        choices=("on", "off"),
        reload=True,
    )
    record: str = field(
        "", "Write a recording of each run to this directory; `replay` reads it.", metavar="DIR", reload=True
    )
    record_raw: bool = field(
        False,
        "Record texts, prompts and arguments unmasked; by default each letter is replaced by x.",
        reload=True,
    )
    record_max: int = field(
        16 * 1024 * 1024, "Bytes of one recording; the rest is not written.", least=1024, reload=True
    )
    record_total: int = field(
        1024 * 1024 * 1024, "Bytes of all recordings; the oldest are deleted to make room.", least=1024, reload=True
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            check_field(each, getattr(self, each.name))
        self._check_front()
        check_callers(self)
        check_networks("trusted_proxy", self.trusted_proxy)
        check_networks("metrics_from", self.metrics_from)
        check_session_sources(self.session_from)
        check_hosts(self.allowed_host)
        if self.trace_content and not self.trace:
            raise ConfigError("--trace-content needs --trace")
        if not re.fullmatch(r"[\w.~/-]*", self.prefix, re.ASCII):
            raise ConfigError(f"--prefix must be of ASCII letters, digits and _ . ~ - / only, not {self.prefix!r}")
        if not re.fullmatch(r"[\x21-\x7e]{0,253}", self.host):
            raise ConfigError("--host must be an address, or a name of ASCII characters")
        if self.prefix and not (self.prefix.startswith("/") and not self.prefix.endswith("/")):
            raise ConfigError(f"--prefix must begin with / and not end with it, not {self.prefix!r}")
        if not re.fullmatch("[0-7]{3}", self.unix_socket_mode):
            raise ConfigError(
                f"--unix-socket-mode must be three octal digits, such as 660, not {self.unix_socket_mode!r}"
            )
        if self.demo and self.workers > 1:
            raise ConfigError("--demo is one agent in one process: start it without --workers")
        if not all(self.session_secret):
            raise ConfigError("--session-secret must not be empty")
        if self.session_secret and self.session_secret_file:
            raise ConfigError("choose between --session-secret and --session-secret-file")
        if any(not name for name in self.model):
            raise ConfigError("--model needs a name in front of the =")
        parse_model_settings(self.model_setting, type(self))

    @property
    def gateways(self) -> tuple[Config, ...]:
        """The settings of each gateway. Settings of the process are the same in all."""
        return (self,)

    @property
    def dialects(self) -> str:
        """The dialects of the gateways, joined by `+`."""
        return "+".join(sorted({gateway.dialect for gateway in self.gateways}))

    @property
    def only_client_credentials(self) -> bool:
        """Whether requests to the gateway carry no credentials but those of the client."""
        return self.pass_authorization and not self.upstream_token

    @property
    def has_keys(self) -> bool:
        return bool(self.api_key or self.api_keys_file)

    def _check_front(self) -> None:
        if self.demo == bool(self.upstream):
            raise ConfigError(
                "choose one of --upstream and --demo"
                if self.demo
                else "no gateway: give its address with --upstream URL, or try --demo"
            )
        if self.upstream:
            check_url(self.upstream, "--upstream")
        check_dialect(self.dialect, self.model.values(), demo=self.demo, sessions=self.sessions)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralGateways(Config):
    """Several gateways, each with its own prefix. These settings are the defaults of each gateway."""

    tables: tuple[Mapping[str, Any], ...]
    """The settings of each gateway's own table."""

    @property
    def gateways(self) -> tuple[Config, ...]:
        common = {each.name: getattr(self, each.name) for each in fields(Config)}
        return tuple(Config(**{**common, **table}) for table in self.tables)

    def _check_front(self) -> None:
        if self.demo:
            raise ConfigError("--demo has one agent: remove it or the [[gateway]] tables")
        for number, table in enumerate(self.tables, 1):
            try:
                Config(**{**{each.name: getattr(self, each.name) for each in fields(Config)}, **table})
            except ConfigError as error:
                raise ConfigError(f"gateway {number}: {error}") from None
        prefixes = sorted(f"{gateway.prefix}/" for gateway in self.gateways)
        for one, next_one in pairwise(prefixes):
            if next_one.startswith(one):
                raise ConfigError(
                    f"each gateway needs a --prefix of its own: {next_one[:-1] or '/'} is behind {one[:-1] or '/'} too"
                )


def merge_reloadable(old: Config, new: Config) -> tuple[Config, list[str]]:
    """Merges new settings into old ones; returns the result and the names of those that need a restart.

    Raises ConfigError if the gateways differ, or if old and new values do not go together.
    """
    pairs = list(zip(old.gateways, new.gateways, strict=False))
    several = isinstance(new, SeveralGateways)
    if len(old.gateways) != len(new.gateways) or (several and any(one.prefix != other.prefix for one, other in pairs)):
        raise ConfigError("adding, removing and reordering gateways, and changing a --prefix, needs a restart")
    kept = _kept_values(old, new)
    if not isinstance(new, SeveralGateways):
        return replace(new, **kept), list(kept)
    own = [_kept_values(one, other, gateway=True) for one, other in pairs]
    tables = tuple({**table, **each} for table, each in zip(new.tables, own, strict=True))
    names = [f"{name} of {one.prefix}" for (one, _), each in zip(pairs, own, strict=True) for name in each]
    process = {name: value for name, value in kept.items() if not _FIELDS[name].metadata.get("gateway")}
    return replace(new, tables=tables, **process), [*process, *names]


def _kept_values(old: Config, new: Config, *, gateway: bool = False) -> dict[str, Any]:
    """The old values of changed settings that need a restart. `gateway`: only of settings that a gateway may have."""
    return {
        name: getattr(old, name)
        for name, each in _FIELDS.items()
        if not each.metadata["reload"]
        and getattr(old, name) != getattr(new, name)
        and (each.metadata.get("gateway") or not gateway)
    }


_FIELDS = {each.name: each for each in fields(Config)}
