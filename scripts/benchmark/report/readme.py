"""Writes measured tables into the README of this package, between their marks."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
PLOT = Path(__file__).parents[1] / "curves.png"


class NoPlace(Exception):
    """The text has no pair of marks for this part."""


def replace_part(text: str, part: str, content: str) -> str:
    """The text with this between `<!-- part -->` and `<!-- /part -->`. Raises NoPlace."""
    pattern = re.compile(rf"(<!-- {part} -->\n).*?(<!-- /{part} -->)", re.DOTALL)
    replaced, found = pattern.subn(lambda match: f"{match[1]}{content}\n{match[2]}", text)
    if found != 1:
        raise NoPlace(f"{README} needs one line <!-- {part} --> and, below it, one line <!-- /{part} -->")
    return replaced


def check_place(part: str) -> None:
    """Raises NoPlace; called before a long measurement."""
    replace_part(README.read_text("utf-8"), part, "")


def write_part(part: str, content: str) -> None:
    """Raises NoPlace."""
    README.write_text(replace_part(README.read_text("utf-8"), part, content), "utf-8")
