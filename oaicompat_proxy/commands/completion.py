"""`oaicompat-proxy completion`: commands, flags and their choices, completed by the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")

PROGRAM = "oaicompat-proxy"

VARIABLE = "_" + f"{PROGRAM}-complete".replace("-", "_").upper()
"""The environment variable by which the script calls the program; click derives it from the program's name."""


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: eval "$(oaicompat-proxy completion bash)"       in ~/.bashrc
    zsh:  eval "$(oaicompat-proxy completion zsh)"        in ~/.zshrc, behind compinit
    fish: oaicompat-proxy completion fish | source        in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows all shells of the choice"
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
