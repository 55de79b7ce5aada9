"""The settings as flags and environment variables, made from the fields of Config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

import click

from .config import Config, ConfigError, flag

ENVIRONMENT_PREFIX = "OAICOMPAT_"

TYPES: dict[str, click.ParamType[Any]] = {"str": click.STRING, "int": click.INT, "float": click.FLOAT}


def options() -> list[click.Parameter]:
    """One option for every field of Config."""
    return [_option(each) for each in fields(Config)]


def _option(each: Field[Any]) -> click.Option:
    more: dict[str, Any] = {}
    if each.default is MISSING:
        more = {"multiple": True, "callback": _pairs}
    elif isinstance(each.default, tuple):
        more = {
            "multiple": True,
            "type": click.Choice(each.metadata["choices"]) if "choices" in each.metadata else click.STRING,
            "default": each.default,
            "show_default": bool(each.default),
        }
    elif isinstance(each.default, bool):
        more = {"is_flag": True, "default": each.default}
    else:
        choices = each.metadata.get("choices")
        kind = click.Choice(choices) if choices else TYPES[str(each.type)]
        shown = repr(each.default) if str(each.default).isspace() else bool(each.default != "")
        more = {"type": kind, "default": each.default, "show_default": shown}
    return click.Option(
        [flag(each.name), each.name],
        help=each.metadata["help"],
        metavar=each.metadata.get("metavar"),
        envvar=ENVIRONMENT_PREFIX + each.name.upper(),
        show_envvar=True,
        **more,
    )


def _pairs(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Mapping[str, str]:
    """`NAME=APP …` as a mapping."""
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not equals:
            raise click.BadParameter(f"{name!r} is not of the form NAME=APP.", context, option)
    return {name: app for name, _, app in pairs}


def read_environment() -> Config:
    """The configuration where there is no command line, as in a worker of gunicorn's. Raises ConfigError."""
    command = click.Command("oaicompat-proxy", params=options(), add_help_option=False)
    try:
        return Config(**command.make_context("oaicompat-proxy", []).params)
    except click.ClickException as error:
        raise ConfigError(error.format_message()) from None
