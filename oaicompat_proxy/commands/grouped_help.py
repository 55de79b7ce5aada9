"""`--help [GROUP]`: the flags of the server in groups of one screen each."""

from __future__ import annotations

from collections.abc import Iterable

import click

from ..config.command_line import ENVIRONMENT_PREFIX
from ..config.option_groups import FIRST, GROUPS, OptionGroup

ALL = "all"
_SHOWN = f"{__name__}.shown"
"""The groups to show, in the `meta` of click's context."""

RULE = (
    f"Each flag is a variable and a key of the settings file, too: --log-level, {ENVIRONMENT_PREFIX}LOG_LEVEL, "
    "log_level."
)


class GroupedHelp(click.Group):
    """A command whose `--help` takes the name of a group, of a command, or `all`."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        return click.Option(
            self.get_help_option_names(ctx),
            is_flag=False,
            flag_value=FIRST.name,
            metavar="[GROUP]",
            expose_value=False,
            is_eager=True,
            callback=_show_help,
            shell_complete=_complete,
            help="Show this page, the flags of a group, or all of them.",
        )

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_usage(ctx, formatter)
        groups = ctx.meta.get(_SHOWN, (FIRST,))
        if FIRST in groups:
            self.format_help_text(ctx, formatter)
        for group in groups:
            self._format_group(ctx, formatter, group)
        if FIRST in groups:
            self.format_commands(ctx, formatter)
        formatter.write_paragraph()
        if groups == (FIRST,):
            names = ", ".join(group.name for group in GROUPS if group is not FIRST)
            formatter.write_text(f"More flags: --help GROUP, with GROUP one of {names}, {ALL}.")
        formatter.write_text(RULE)

    def _format_group(self, ctx: click.Context, formatter: click.HelpFormatter, group: OptionGroup) -> None:
        options = {option.name: option for option in self.get_params(ctx) if isinstance(option, click.Option)}
        shown = [options[name] for name in group.options]
        if group is FIRST:
            shown += [option for name, option in options.items() if name in ("version", "help")]
        with formatter.section(group.title):
            _format_options(ctx, formatter, shown)


def _format_options(ctx: click.Context, formatter: click.HelpFormatter, options: Iterable[click.Option]) -> None:
    """Writes each option on one line if it fits, else the flag on a line above the text."""
    for option in options:
        names, text = option.get_help_record(ctx) or ("", "")
        line = f"{names}  {text}"
        if formatter.current_indent + len(line) <= formatter.width:
            formatter.write(f"{'':{formatter.current_indent}}{line}\n")
            continue
        formatter.write_text(names)
        with formatter.indentation():
            formatter.write_text(text)


def _complete(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in (*(group.name for group in GROUPS), ALL) if name.startswith(incomplete)]


def _show_help(ctx: click.Context, option: click.Parameter, name: str | None) -> None:
    if name is None or ctx.resilient_parsing:
        return
    by_name = {group.name: group for group in GROUPS}
    if isinstance(ctx.command, click.Group) and (command := ctx.command.get_command(ctx, name)) is not None:
        ctx = click.Context(command, info_name=name, parent=ctx)
    elif name == ALL:
        ctx.meta[_SHOWN] = GROUPS
    elif name in by_name:
        ctx.meta[_SHOWN] = (by_name[name],)
    else:
        raise click.BadParameter(f"there is no group {name!r}, only {', '.join([*by_name, ALL])}.", ctx, option)
    click.echo(ctx.get_help(), color=ctx.color)
    ctx.exit()
