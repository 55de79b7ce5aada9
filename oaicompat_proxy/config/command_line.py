"""The settings as flags, environment variables and keys of a file, made from the fields of Config.

Each overrides the one after it, as click has it: the file is click's `default_map`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .file import FileError, SettingsFile, parse
from .settings import Config, ConfigError, SeveralGateways, flag

ENVIRONMENT_PREFIX = "OAICOMPAT_"

USUAL_FILE = Path("oaicompat.toml")
"""Read if it is in the working directory and no other is named."""

LARGEST_FILE = 1024 * 1024
"""Bytes of a settings file."""

_FILE = f"{__name__}.file"
_FAULT = f"{__name__}.fault"
"""Where click's context keeps what was read: the file, or why there is none."""

TYPES: dict[str, click.ParamType[Any]] = {"str": click.STRING, "int": click.INT, "float": click.FLOAT}


def options() -> list[click.Parameter]:
    """One option for every field of Config."""
    return [_option(each) for each in fields(Config)]


def _option(each: Field[Any]) -> click.Option:
    more: dict[str, Any] = {}
    names = flag(each.name)
    if each.default is MISSING:
        more = {"multiple": True, "type": _Pair(), "callback": _as_mapping}
    elif isinstance(each.default, tuple):
        more = {
            "multiple": True,
            "type": click.Choice(each.metadata["choices"]) if "choices" in each.metadata else click.STRING,
            "default": each.default,
            "show_default": bool(each.default),
        }
    elif isinstance(each.default, bool):
        more = {"is_flag": True, "default": each.default}
        names = f"{names}/{off_flag(each.name)}"
    else:
        choices = each.metadata.get("choices")
        kind = click.Choice(choices) if choices else TYPES[str(each.type)]
        shown = repr(each.default) if str(each.default).isspace() else bool(each.default != "")
        more = {"type": kind, "default": each.default, "show_default": shown}
    return click.Option(
        [names, each.name],
        help=each.metadata["help"],
        metavar=each.metadata.get("metavar"),
        envvar=ENVIRONMENT_PREFIX + each.name.upper(),
        show_envvar=True,
        **more,
    )


def off_flag(name: str) -> str:
    """What unsays a flag: also one that stands in the environment or in the file."""
    return flag(name.removeprefix("no_") if name.startswith("no_") else f"no_{name}")


class _Pair(click.ParamType[tuple[str, str]]):
    """`NAME=APP`; the file has them in two already."""

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
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise FileError([f"{path}: it is larger than {LARGEST_FILE} bytes"])
        return parse(data.decode().replace("\r\n", "\n"), str(path))
    except OSError as error:
        raise FileError([f"{path}: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise FileError([f"{path}: it is not written in UTF-8"]) from None


def _use_file(context: click.Context, option: click.Parameter, path: Path | None) -> None:
    """A fault is told by whoever needs the settings: the other commands do not."""
    if path is None and USUAL_FILE.exists():
        path = USUAL_FILE
    if path is None or context.resilient_parsing:
        return
    try:
        file = context.meta[_FILE] = read_file(path)
    except FileError as error:
        context.meta[_FAULT] = error
    else:
        pairs = {key: tuple(value.items()) for key, value in file.values.items() if isinstance(value, dict)}
        context.default_map = {**file.values, **pairs}


def file_option() -> click.Option:
    return click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"TOML file of settings, which flags and environment override. By default {USUAL_FILE}, if there is one.",
        envvar=f"{ENVIRONMENT_PREFIX}CONFIG",
        show_envvar=True,
        is_eager=True,
        expose_value=False,
        callback=_use_file,
    )


def file_of(context: click.Context) -> SettingsFile | None:
    """The file whose settings count. Raises FileError."""
    if _FAULT in context.meta:
        raise context.meta[_FAULT]
    file: SettingsFile | None = context.meta.get(_FILE)
    return file


def configure(context: click.Context) -> Config:
    """From flags, environment and file. `context`: of the command that has the options. Raises ConfigError."""
    file = file_of(context)
    try:
        return assemble({each.name: context.params[each.name] for each in fields(Config)}, file)
    except ConfigError as error:
        raise ConfigError(f"{error}{_in_file(str(error), context, file)}") from None


def reconfigure(context: click.Context) -> Config:
    """The same again, from a file that may have changed: what stood in flags stays. Raises ConfigError."""
    file = file_of(context)
    command = click.Command("oaicompat-proxy", params=[file_option(), *options()], add_help_option=False)
    try:
        again = command.make_context("oaicompat-proxy", [] if file is None else ["--config", file.name])
    except click.ClickException as error:
        raise ConfigError(error.format_message()) from None
    flags = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    again.params.update({name: context.params[name] for name in flags})
    return configure(again)


def assemble(settings: Mapping[str, Any], file: SettingsFile | None) -> Config:
    """Raises ConfigError."""
    if file is None or not file.gateways:
        return Config(**settings)
    several = SeveralGateways(**settings, tables=file.gateways)
    return several if len(several.gateways) > 1 else several.gateways[0]


def _in_file(message: str, context: click.Context, file: SettingsFile | None) -> str:
    """Where the settings stand that the message names, if in the file."""
    if file is None:
        return ""
    names = [found.replace("-", "_") for found in re.findall(r"--([a-z][a-z-]*[a-z])", message)]
    places = dict.fromkeys(f"{name} is in {file.where(name)}" for name in names if name in file.values)
    return f" ({'; '.join(places)})" if places else ""


def origin(context: click.Context, name: str) -> str:
    """Where a setting's value comes from, for a person. `context`: of the command that has the options."""
    source = context.get_parameter_source(name)
    if source is ParameterSource.COMMANDLINE:
        return f"flag {flag(name)}"
    if source is ParameterSource.ENVIRONMENT:
        return f"environment {ENVIRONMENT_PREFIX}{name.upper()}"
    file = file_of(context)
    if source is ParameterSource.DEFAULT_MAP and file is not None:
        return f"file {file.where(name)}"
    return "default"


def read_environment(file: Path | None = None) -> Config:
    """The configuration where there is no command line, as in a worker of gunicorn's.

    `file`: instead of the one that the environment names. Raises ConfigError.
    """
    command = click.Command("oaicompat-proxy", params=[file_option(), *options()], add_help_option=False)
    try:
        arguments = [] if file is None else ["--config", str(file)]
        return configure(command.make_context("oaicompat-proxy", arguments))
    except click.ClickException as error:
        raise ConfigError(error.format_message()) from None
