"""All settings: the sections together, rules about several settings, several gateways, and the merge at a reload.

The command line, the environment (`OAICOMPAT_…`), the help text and the table in `config/README.md` are made from the
fields of `Config`. Times are seconds, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

from ..core.addresses import is_loopback
from ..core.model_info import ModelInfo
from .fields import ConfigError as ConfigError
from .fields import flag as flag
from .fields import parse, validate
from .sections.access import AccessSettings
from .sections.answers import AnswerSettings
from .sections.diagnostics import DiagnosticSettings
from .sections.gateway import GatewaySettings
from .sections.idempotency import IdempotencySettings
from .sections.inspection import InspectionSettings
from .sections.process import ProcessSettings
from .sections.sessions import SessionSettings
from .sections.single_sign_on import SingleSignOnSettings
from .sections.size_limits import SizeLimits
from .sections.time_limits import TimeLimits
from .sections.users import UserSettings
from .types import check_url


@dataclass(frozen=True, kw_only=True)
class Config(
    DiagnosticSettings,
    InspectionSettings,
    SizeLimits,
    IdempotencySettings,
    TimeLimits,
    SessionSettings,
    AnswerSettings,
    UserSettings,
    SingleSignOnSettings,
    AccessSettings,
    ProcessSettings,
    GatewaySettings,
):
    """All settings. Raises ConfigError for invalid values.

    A dataclass has the fields of its last base first, so the bases stand in reverse order.
    """

    model_info: Mapping[str, ModelInfo] = field(default_factory=dict)
    """Descriptions of models, by name or pattern: only in the settings file, without a flag or a variable."""

    def __post_init__(self) -> None:
        for each in SETTINGS:
            try:
                value = validate(each, getattr(self, each.name))
            except ValueError as error:
                raise ConfigError(f"{flag(each.name)} {error}") from None
            object.__setattr__(self, each.name, value)
        self._check_upstream()
        self._check_access()
        if self.trace_content and not self.trace:
            raise ConfigError("--trace-content needs --trace")
        if self.demo and self.workers > 1:
            raise ConfigError("--demo is one agent in one process: start it without --workers")
        if self.session_secret and self.session_secret_file:
            raise ConfigError("choose between --session-secret and --session-secret-file")
        parse_model_settings(self.model_setting)

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
        """Whether callers have to show a key, or a token."""
        return bool(self.api_key or self.api_keys_file or self.jwt_issuer)

    def _check_upstream(self) -> None:
        if self.demo == bool(self.upstream):
            raise ConfigError(
                "choose one of --upstream and --demo"
                if self.demo
                else "no gateway: give its address with --upstream URL, or try --demo"
            )
        if self.dialect != "agentick":
            self._check_agents()

    def _check_agents(self) -> None:
        """Rejects settings that need a gateway, and apps that are invalid URLs."""
        if self.demo:
            raise ConfigError(f"--demo speaks agentick, not {self.dialect}")
        if self.sessions != "fresh":
            raise ConfigError(
                f"--sessions {self.sessions} needs a gateway that keeps sessions; an agent that speaks {self.dialect} "
                "gets the whole conversation each time"
            )
        for app in self.model.values():
            try:
                if "://" in app:
                    check_url(app)
            except ValueError as error:
                raise ConfigError(f"--model {error}") from None

    def _check_access(self) -> None:
        """Rejects tokens without an issuer or audience, and a reachable address without keys, unless --no-auth."""
        self._check_single_sign_on()
        if self.has_keys and self.no_auth:
            raise ConfigError("choose between keys and --no-auth")
        if not (self.has_keys or self.no_auth or self.unix_socket or is_loopback(self.host)):
            raise ConfigError(
                f"others can reach {self.host or 'every address'}: give keys with --api-key or --api-keys-file, "
                "or say --no-auth"
            )

    def _check_single_sign_on(self) -> None:
        if self.jwt_issuer and not self.jwt_audience:
            raise ConfigError("--jwt-issuer needs --jwt-audience: tokens for other services must not be accepted")
        if not self.jwt_issuer and (self.jwt_audience or any(each.startswith("jwt:") for each in self.user_from)):
            raise ConfigError("--jwt-audience and --user-from jwt:CLAIM need --jwt-issuer")


SETTINGS = tuple(each for each in fields(Config) if "help" in each.metadata)
"""The settings that have a flag and an environment variable."""

_FIELDS = {each.name: each for each in SETTINGS}


def parse_model_settings(settings: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Values of settings by the name or pattern of a model, from the setting `model_setting`. Raises ConfigError."""
    overrides: dict[str, dict[str, Any]] = {}
    known = {name: each for name, each in _FIELDS.items() if each.metadata.get("model")}
    for key, text in settings.items():
        model, _, name = key.rpartition(":")
        if not model:
            raise ConfigError(f"--model-setting must be of the form MODEL:SETTING=VALUE, not {key!r}")
        if name not in known:
            raise ConfigError(f"--model-setting {key}: a model has no {name} of its own, only {', '.join(known)}")
        try:
            overrides.setdefault(model, {})[name] = parse(known[name], text)
        except ValueError as error:
            raise ConfigError(f"--model-setting {key} {error}") from None
    return overrides


@dataclass(frozen=True, kw_only=True)
class SeveralGateways(Config):
    """Several gateways, each with its own prefix. These settings are the defaults of each gateway."""

    tables: tuple[Mapping[str, Any], ...]
    """The settings of each gateway's own table."""

    @property
    def gateways(self) -> tuple[Config, ...]:
        return tuple(map(self._gateway, self.tables))

    def _gateway(self, table: Mapping[str, Any]) -> Config:
        return Config(**{**{each.name: getattr(self, each.name) for each in fields(Config)}, **table})

    def _check_upstream(self) -> None:
        if self.demo:
            raise ConfigError("--demo has one agent: remove it or the [[gateway]] tables")
        for number, table in enumerate(self.tables, 1):
            try:
                self._gateway(table)
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
    """The old values of changed settings that need a restart. `gateway`: only of those with `gateway=True`."""
    return {
        name: getattr(old, name)
        for name, each in _FIELDS.items()
        if not each.metadata["reload"]
        and getattr(old, name) != getattr(new, name)
        and (each.metadata.get("gateway") or not gateway)
    }
