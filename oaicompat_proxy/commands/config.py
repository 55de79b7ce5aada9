"""`oaicompat-proxy config …`: checks a settings file, shows the settings in force, and prints an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any

import click

from ..config.command_line import load_config, load_from_environment, read_file, settings_file, value_source
from ..config.file import GATEWAY, FileError, SettingsFile, example_file, to_toml
from ..config.model_info import MODEL_INFO
from ..config.settings import SETTINGS, ConfigError

MASK = "***"


class InvalidConfig(click.ClickException):
    """One line on stderr, exit status 2."""

    exit_code = 2


@click.group("config")
def config() -> None:
    """Check a settings file, show the settings in force, print an example."""


@config.command("check")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
def check(path: Path) -> None:
    """Print each error of a settings file on a line; exit status 2 if there is any.

    Environment variables are read as well, because they may hold the secrets.
    """
    try:
        read_file(path)
        load_from_environment(path)
    except FileError as error:
        problems = error.problems
    except ConfigError as error:
        problems = [f"{path}: {error}"]
    else:
        click.echo(f"{path}: all is well")
        return
    for problem in problems:
        click.echo(problem)
    raise SystemExit(2)


@config.command("show")
@click.pass_context
def show(context: click.Context) -> None:
    """Print the settings in force, each with its source. Flags are given before the command.

    A secret is shown as ***. Exit status 2 if the proxy would not start with them.
    """
    root = context.find_root()
    try:
        file = settings_file(root)
        for each in SETTINGS:
            click.echo(_line(each, root.params[each.name], value_source(root, each.name)))
        if file is not None:
            _show_model_info(file, file.values)
            _show_gateways(file)
        load_config(root)
    except ConfigError as error:
        raise InvalidConfig(str(error)) from None


def _show_gateways(file: SettingsFile) -> None:
    known = {each.name: each for each in SETTINGS}
    for number, table in enumerate(file.gateways, 1):
        click.echo(f"\n[[{GATEWAY}]]")
        for name, value in table.items():
            if name in known:
                click.echo(_line(known[name], value, f"file {file.location(f'{GATEWAY}[{number}].{name}')}"))
        _show_model_info(file, table, f"{GATEWAY}.", f"{GATEWAY}[{number}].")


def _show_model_info(file: SettingsFile, values: Mapping[str, Any], table: str = "", place: str = "") -> None:
    """`table`, `place`: prefixes of the names of tables, and of their locations."""
    for model, info in values.get(MODEL_INFO, {}).items():
        click.echo(f"\n[{table}{MODEL_INFO}.{to_toml(model)}]")
        for name, value in info.known().items():
            click.echo(f"{name} = {to_toml(value)}  # file {file.location(f'{place}{MODEL_INFO}.{model}.{name}')}")


def _line(each: Field[Any], value: Any, source: str) -> str:
    return f"{each.name} = {to_toml(_mask(each, value))}  # {source}"


def _mask(each: Field[Any], value: Any) -> Any:
    if not each.metadata.get("secret") or not value:
        return value
    if isinstance(value, Mapping):
        return dict.fromkeys(value, MASK)
    return (MASK,) * len(value) if isinstance(value, tuple) else MASK


@config.command("example")
def write_example() -> None:
    """Print a file of all settings, with their defaults and help texts."""
    click.echo(example_file(), nl=False)
