"""The command line: reads the settings and starts the server, or runs another command."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import secrets
from collections.abc import Callable
from typing import Any, NoReturn

import click

from . import __version__
from .commands.chat import chat
from .commands.completion import completion
from .commands.config import config as config_command
from .commands.doctor.doctor import doctor
from .commands.forget import forget
from .commands.grouped_help import GroupedHelp
from .commands.inspect import inspect
from .commands.replay.replay import replay
from .commands.usage import usage
from .config.command_line import file_option, load_config, options, reload_config, settings_file, unknown_variables
from .config.settings import Config, ConfigError
from .core.build import FORM
from .server.access.api_keys import KeysError, new_entry
from .server.observability.process_setup import set_up_process
from .server.process.serve import serve
from .server.process.sockets import ListenError

log = logging.getLogger(__name__)


class StartError(click.ClickException):
    """The proxy cannot start: one line on stderr, exit status 2."""

    exit_code = 2


def make_key(context: click.Context, option: click.Parameter, name: str | None) -> None:
    """Prints a new key: its entry with the hash to stdout, the key itself to stderr."""
    if name is None or context.resilient_parsing:
        return
    key = f"sk-{secrets.token_urlsafe(32)}"
    try:
        entry = new_entry(name, key)
    except KeysError as error:
        raise click.BadParameter(str(error), context, option) from None
    click.echo(f"The key of {name}, which is not stored: {key}", err=True)
    click.echo(entry)
    context.exit()


@click.pass_context
def run(context: click.Context, /, **settings: Any) -> None:
    if context.invoked_subcommand is not None:
        return
    try:
        config = load_config(context)
    except ConfigError as error:
        raise StartError(str(error)) from None
    set_up_process(config.log_level, config.log_format)
    for problem in unknown_variables(os.environ):
        log.warning("%s", problem)
    if file := settings_file(context):
        log.info("settings are read from %s", file.name)
    read = functools.partial(reload_config, context)
    try:
        if config.workers > 1:
            _supervise(config, read)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            status = runner.run(serve(config, read))
    except (ListenError, ConfigError) as error:
        raise StartError(str(error)) from None
    context.exit(status)


def _supervise(config: Config, read: Callable[[], Config]) -> NoReturn:
    """Serves with several workers. Raises ConfigError without gunicorn, ListenError, SystemExit."""
    try:
        from .server.process.supervisor import supervise
    except ImportError:
        raise ConfigError("--workers needs the package gunicorn: pip install 'oaicompat-proxy[workers]'") from None
    supervise(config, read)


def _loop_factory() -> Any:
    """uvloop's factory where it is installed, since it is faster; else asyncio's default."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


NEW_KEY = click.Option(
    ["--new-key"],
    metavar="NAME",
    help="Create a key and exit. Its entry for the keys file is written to stdout, the key itself to stderr.",
    is_eager=True,
    expose_value=False,
    callback=make_key,
)

main = click.version_option(f"{__version__} ({FORM})", prog_name="oaicompat-proxy")(
    GroupedHelp(
        "oaicompat-proxy",
        callback=run,
        params=[file_option(), *options(), NEW_KEY],
        commands=[chat, completion, config_command, doctor, forget, inspect, replay, usage],
        invoke_without_command=True,
        subcommand_metavar="[COMMAND …]",
        help="Put an OpenAI-compatible API in front of an agent gateway. Without a command, start the server.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
)
