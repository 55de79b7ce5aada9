"""The groups in which `--help` shows the flags, so that each group fits a screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .settings import SETTINGS


class OptionGroup(NamedTuple):
    """`options`: the names of the settings, and of the other flags, in the order in which they are shown."""

    name: str
    title: str
    options: tuple[str, ...]


def _group(name: str, title: str, options: str) -> OptionGroup:
    return OptionGroup(name, title, tuple(options.split()))


_CHOSEN = (
    _group("first", "The first settings to know", "upstream dialect demo model port api_key"),
    _group(
        "models",
        "Models and the gateway",
        "upstream_token wire model_setting models_ttl connect_timeout connect_retries",
    ),
    _group("server", "The address and the processes", "config host unix_socket unix_socket_mode workers prefix redis"),
    _group("shutdown", "Shutdown, and closing sessions", "drain_delay drain_timeout close_timeout"),
    _group(
        "keys",
        "Keys and allowed clients",
        "new_key api_keys_file no_auth pass_authorization trusted_proxy allowed_host cors",
    ),
    _group(
        "sign-on",
        "Tokens of an identity provider",
        "jwt_issuer jwt_audience jwt_key_claim jwt_models_claim jwt_jwks jwt_keys_ttl",
    ),
    _group("users", "Users of a key", "user_from trust_user_from log_users"),
    _group(
        "rates",
        "Limits of requests and runs",
        "requests_per_minute tokens_estimate max_runs max_runs_per_key max_waiting max_waiting_bytes queue_wait",
    ),
    _group(
        "sizes",
        "Sizes of requests and answers",
        "max_line max_headers max_head max_body max_media max_text max_values max_messages max_parts max_tools "
        "max_answer max_frame",
    ),
    _group("run-times", "How long a run may take", "first_event_wait first_event_timeout silence_timeout run_timeout"),
    _group(
        "connections",
        "Connections, and how long they may be silent",
        "max_connections keep_alive keep_alive_form json_keep_alive send_timeout head_timeout body_timeout "
        "idle_timeout",
    ),
    _group("requests", "The request to the agent", "history max_fold side_requests"),
    _group(
        "answers",
        "The form of an answer",
        "tick_separator reasoning_field responses_reasoning server_tools tool_output_max structured "
        "structured_strip_fences",
    ),
    _group("responses", "Stored responses", "responses response_db response_ttl max_responses response_grace"),
    _group(
        "sessions",
        "Sessions of the gateway",
        "sessions session_from session_names session_wait session_drain session_ttl max_sessions",
    ),
    _group(
        "secrets",
        "Session secrets, and approvals by a person",
        "session_secret session_secret_file confirmations confirmation_ttl confirmation_wait",
    ),
    _group(
        "repeats",
        "Repeated requests",
        "idempotency_ttl idempotency_grace max_idempotent max_idempotent_answer max_idempotent_bytes",
    ),
    _group(
        "logs",
        "Logs, metrics and traces",
        "log_level log_format log_sample metrics_from trace trace_content diagnostics",
    ),
    _group(
        "records",
        "The inspector, and recordings of runs",
        "inspect inspect_content inspect_runs inspect_bytes record record_raw record_max record_total",
    ),
)


def with_settings(groups: Sequence[OptionGroup], settings: Iterable[str]) -> Iterator[OptionGroup]:
    """The groups with all settings: a setting that no group names follows the setting before it in `settings`."""
    named = {name for group in groups for name in group.options}
    followers: dict[str, list[str]] = {}
    before = groups[0].options[-1]
    for name in settings:
        if name in named:
            before = name
        else:
            followers.setdefault(before, []).append(name)
    for group in groups:
        options = (each for name in group.options for each in (name, *followers.get(name, ())))
        yield group._replace(options=tuple(options))


GROUPS = tuple(with_settings(_CHOSEN, (each.name for each in SETTINGS)))

FIRST = GROUPS[0]
"""Shown without the name of a group."""
