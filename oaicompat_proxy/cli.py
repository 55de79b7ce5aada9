"""The command line: flags and environment → Config → serve; and the commands beside the server."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

import click

from . import __version__
from .config import Config, ConfigError, flag
from .console.chat import chat
from .console.doctor import doctor
from .console.replay import replay
from .keyring import KeysError, new_entry
from .web.server import ListenError, serve

ENVIRONMENT_PREFIX = "OAICOMPAT_"

TYPES: dict[str, click.ParamType[Any]] = {"str": click.STRING, "int": click.INT, "float": click.FLOAT}


class StartError(click.ClickException):
    """The proxy cannot start: one line on stderr, exit status 2."""

    exit_code = 2


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


def make_key(context: click.Context, option: click.Parameter, name: str | None) -> None:
    """Only the key's hash goes where output is written to; the key is for the eyes of whoever asked."""
    if name is None or context.resilient_parsing:
        return
    key = f"sk-{secrets.token_urlsafe(32)}"
    try:
        entry = new_entry(name, key)
    except KeysError as error:
        raise click.BadParameter(str(error), context, option) from None
    click.echo(f"The key of {name}, which is stored nowhere: {key}", err=True)
    click.echo(entry)
    context.exit()


@click.pass_context
def run(context: click.Context, /, **settings: Any) -> None:
    if context.invoked_subcommand is not None:
        return
    try:
        config = Config(**settings)
    except ConfigError as error:
        raise StartError(str(error)) from None
    set_up_logging(config.log_level)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(config))
    except (ListenError, ConfigError) as error:
        raise StartError(str(error)) from None


def set_up_logging(level: str) -> None:
    """To stderr. What no line of ours shows is not looked up for each: "Optimization" in Python's logging guide."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    vars(logging)["_srcfile"] = None


def _loop_factory() -> Any:
    """uvloop's where it exists: it is the faster one; asyncio's own elsewhere."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


NEW_KEY = click.Option(
    ["--new-key"],
    metavar="NAME",
    help="Make a key and exit: its entry for the keys file goes to the output, the key itself to the terminal.",
    is_eager=True,
    expose_value=False,
    callback=make_key,
)

main = click.version_option(__version__, prog_name="oaicompat-proxy")(
    click.Group(
        "oaicompat-proxy",
        callback=run,
        params=[*options(), NEW_KEY],
        commands=[chat, doctor, replay],
        invoke_without_command=True,
        subcommand_metavar="[COMMAND …]",
        help="Put an OpenAI-compatible API in front of an agent gateway. Without a command it serves.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
)
