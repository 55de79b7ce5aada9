"""What commands write to a terminal. `rich` is loaded here, and only when a command runs: serving needs none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

_CONTROLS = {code: None for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in "\n\t"}


class MissingPackage(click.ClickException):
    """One line on stderr, exit status 2."""

    exit_code = 2


def open_terminal(*, stderr: bool = False) -> Console:
    """Raises MissingPackage where the server alone is installed."""
    try:
        from rich.console import Console
    except ImportError:
        raise MissingPackage("this needs the package rich: pip install 'oaicompat-proxy[console]'") from None
    return Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)


def harmless(text: str) -> str:
    """The text without control characters: an agent's words must not drive somebody's terminal."""
    return text.translate(_CONTROLS)
