"""Flags, environment variables and file keys of the settings, generated from the fields of Config.

Flags override the environment, which overrides the file: the file is click's `default_map`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .fields import basic_type, choices_of, default_of
from .file import FileError, SettingsFile, parse
from .model_info import MODEL_INFO
from .settings import SETTINGS, Config, ConfigError, SeveralGateways, flag

ENVIRONMENT_PREFIX = "OAICOMPAT_"

_NAMES = [each.name for each in SETTINGS]

_OTHERS = ("OAICOMPAT_CONFIG", "OAICOMPAT_VENV", "OAICOMPAT_COMPILE")
"""Variables that are no settings: the address of the settings file, and those of the scripts."""

_OF_A_SERVICE = re.compile(r"_(?:SERVICE_HOST$|SERVICE_PORT(?:_|$)|PORT$|PORT_\d+_(?:TCP|UDP|SCTP)(?:_|$))")

DEFAULT_FILE = Path("oaicompat.toml")
"""Read if it is in the working directory and no other file is given."""

MAX_FILE_BYTES = 1024 * 1024
"""Bytes of a settings file, at most."""

_FILE = f"{__name__}.file"
_FILE_ERROR = f"{__name__}.fault"
"""Keys in the `meta` of click's context: the file that was read, or the error."""

_UNSAID = (None, ParameterSource.DEFAULT)
"""click's sources of a value that is only the default."""

CLICK_TYPES: dict[object, click.ParamType[Any]] = {
    str: click.STRING,
    tuple: click.STRING,
    int: click.INT,
    float: click.FLOAT,
    bool: click.BOOL,
}


def options() -> list[click.Parameter]:
    """One option for every field of Config."""
    return [_option(each) for each in SETTINGS]


def _option(each: Field[Any]) -> click.Option:
    kind, default, choices = basic_type(each), default_of(each), choices_of(each)
    names = flag(each.name)
    more: dict[str, Any] = {"type": click.Choice(choices) if choices else CLICK_TYPES.get(kind), "default": default}
    if kind is Mapping:
        more = {"multiple": True, "type": _NameAppPair(), "callback": _as_mapping}
    elif kind is tuple:
        more |= {"multiple": True, "show_default": bool(default)}
    elif kind is bool:
        more["is_flag"] = True
        names = f"{names}/{negative_flag(each.name)}"
    else:
        more["show_default"] = repr(default) if str(default).isspace() else default != ""
    return _Setting(
        [names, each.name],
        help=each.metadata["help"],
        metavar=each.metadata.get("metavar"),
        envvar=variable(each.name),
        **more,
    )


class _Setting(click.Option):
    """An option whose error names the environment variable if the value is from there."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        hint = super().get_error_hint(ctx)
        if ctx is not None and self.name and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
            return f"{hint} ({variable(self.name)} in the environment)"
        return hint


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return ENVIRONMENT_PREFIX + name.upper()


def negative_flag(name: str) -> str:
    """The flag that switches a setting off, even if the environment or the file has switched it on."""
    return flag(name.removeprefix("no_") if name.startswith("no_") else f"no_{name}")


class _NameAppPair(click.ParamType[tuple[str, str]]):
    """Parses `NAME=APP`. Values of the file are pairs already."""

    name = "pair"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, app = value.partition("=")
        if not equals:
            form = param.metavar if isinstance(param, click.Option) else "NAME=VALUE"
            self.fail(f"{name!r} is not of the form {form}.", param, ctx)
        return name, app


def _as_mapping(
    context: click.Context, option: click.Parameter, pairs: tuple[tuple[str, str], ...]
) -> Mapping[str, str]:
    return dict(pairs)


def read_file(path: Path) -> SettingsFile:
    """Raises FileError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise FileError([f"{path}: it is larger than {MAX_FILE_BYTES} bytes"])
        return parse(data.decode().replace("\r\n", "\n"), str(path))
    except OSError as error:
        raise FileError([f"{path}: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise FileError([f"{path}: it is not UTF-8"]) from None


def _use_file(context: click.Context, option: click.Parameter, path: Path | None) -> None:
    """Reads the file. An error is kept for `settings_file`, because not every command needs the settings."""
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    if path is None or context.resilient_parsing:
        return
    try:
        file = context.meta[_FILE] = read_file(path)
    except FileError as error:
        context.meta[_FILE_ERROR] = error
    else:
        pairs = {key: tuple(value.items()) for key, value in file.values.items() if isinstance(value, dict)}
        context.default_map = {**file.values, **pairs}


def file_option() -> click.Option:
    return click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"TOML file of settings; flags and environment override it. By default {DEFAULT_FILE}, if there is one.",
        envvar=f"{ENVIRONMENT_PREFIX}CONFIG",
        is_eager=True,
        expose_value=False,
        callback=_use_file,
    )


def settings_file(context: click.Context) -> SettingsFile | None:
    """The settings file that was read, if any. Raises FileError."""
    if _FILE_ERROR in context.meta:
        raise context.meta[_FILE_ERROR]
    file: SettingsFile | None = context.meta.get(_FILE)
    return file


def load_config(context: click.Context) -> Config:
    """The settings from flags, environment and file. `context`: of the command with the options. Raises ConfigError."""
    file = settings_file(context)
    settings = {each.name: context.params[each.name] for each in SETTINGS}
    if file is not None:
        settings[MODEL_INFO] = file.values.get(MODEL_INFO, {})
    if settings["demo"] and context.get_parameter_source("inspect") in _UNSAID:
        settings["inspect"] = True
    try:
        return build_config(settings, file)
    except ConfigError as error:
        raise ConfigError(f"{error}{_locations(str(error), context, file)}") from None


def reload_config(context: click.Context) -> Config:
    """The settings from the same flags and from the current text of the file. Raises ConfigError."""
    file = settings_file(context)
    command = click.Command("oaicompat-proxy", params=[file_option(), *options()], add_help_option=False)
    try:
        again = command.make_context("oaicompat-proxy", [] if file is None else ["--config", file.name])
    except click.ClickException as error:
        raise ConfigError(error.format_message()) from None
    flags = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    for name in flags:
        again.params[name] = context.params[name]
        again.set_parameter_source(name, ParameterSource.COMMANDLINE)
    return load_config(again)


def build_config(settings: Mapping[str, Any], file: SettingsFile | None) -> Config:
    """Raises ConfigError."""
    if file is None or not file.gateways:
        return Config(**settings)
    several = SeveralGateways(**settings, tables=file.gateways)
    return several if len(several.gateways) > 1 else several.gateways[0]


def _locations(message: str, context: click.Context, file: SettingsFile | None) -> str:
    """The variable, or the file and line, of each setting that the message names. A flag is seen without help."""
    places = []
    for name in dict.fromkeys(found.replace("-", "_") for found in re.findall(r"--([a-z][a-z-]*[a-z])", message)):
        if context.get_parameter_source(name) is ParameterSource.ENVIRONMENT:
            places.append(f"{name} is {variable(name)} in the environment")
        elif file is not None and name in file.values:
            places.append(f"{name} is in {file.location(name)}")
    return f" ({'; '.join(places)})" if places else ""


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """One line for each variable that looks like one of a setting and is none. No line quotes a value.

    The variables that Kubernetes sets for a service named oaicompat or oaicompat-proxy are left out.
    """
    names = [name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and not _OF_A_SERVICE.search(name)]
    return [_unknown(name) for name in sorted({*names}.difference(map(variable, _NAMES), _OTHERS))]


def _unknown(name: str) -> str:
    nearest = difflib.get_close_matches(name.removeprefix(ENVIRONMENT_PREFIX).lower(), _NAMES, 1)
    meant = f"; did you mean {variable(nearest[0])}?" if nearest else ""
    return f"the environment has {name}, and there is no such setting{meant}"


def value_source(context: click.Context, name: str) -> str:
    """The source of a setting's value, for people. `context`: of the command with the options."""
    source = context.get_parameter_source(name)
    if source is ParameterSource.COMMANDLINE:
        return f"flag {flag(name)}"
    if source is ParameterSource.ENVIRONMENT:
        return f"environment {variable(name)}"
    file = settings_file(context)
    if source is ParameterSource.DEFAULT_MAP and file is not None:
        return f"file {file.location(name)}"
    return "default"


def load_from_environment(file: Path | None = None) -> Config:
    """The settings of a process without a command line, such as a gunicorn worker.

    `file`: replaces the file that the environment names. Raises ConfigError.
    """
    command = click.Command("oaicompat-proxy", params=[file_option(), *options()], add_help_option=False)
    try:
        arguments = [] if file is None else ["--config", str(file)]
        return load_config(command.make_context("oaicompat-proxy", arguments))
    except click.ClickException as error:
        raise ConfigError(error.format_message()) from None
