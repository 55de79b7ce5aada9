"""Opens the terminal for a command. `rich` is imported only then, because the server does not need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

_REMOVED = {code: None for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in "\n\t"}


class MissingPackage(click.ClickException):
    """One line on stderr, exit status 2."""

    exit_code = 2


def open_terminal(*, stderr: bool = False) -> Console:
    """Raises MissingPackage if the extra `console` is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        raise MissingPackage("this needs the package rich: pip install 'oaicompat-proxy[console]'") from None
    return Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)


def without_controls(text: str) -> str:
    """The text without control characters, with which an agent could control the terminal."""
    return text.translate(_REMOVED)
