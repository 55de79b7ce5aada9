"""Searches the regular expressions of a schema in linear time, by RE2. It has no lookaround and no backreferences."""

from __future__ import annotations

import re

MAX_MEMORY = 1024 * 1024
"""Bytes of one compiled pattern; a larger one is refused."""

CHARACTERS_A_STEP = 1000
"""A step is the time of searching so many characters, divided by the instructions of the compiled pattern."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[\s\S])")


class UnsupportedPattern(ValueError):
    """RE2 cannot compile the pattern."""


class Pattern:
    """A regular expression of ECMA-262, if RE2 can compile it. Raises UnsupportedPattern."""

    def __init__(self, pattern: str) -> None:
        import re2  # takes 15 ms, which a schema without patterns does not need

        options = re2.Options()
        options.max_mem = MAX_MEMORY
        options.log_errors = False
        options.never_capture = True
        try:
            self._compiled = re2.compile(_ESCAPE.sub(_as_re2, pattern), options)
            self._size: int = self._compiled.programsize
        except (re2.error, UnicodeEncodeError):
            raise UnsupportedPattern from None

    def __repr__(self) -> str:
        return "…"

    def steps(self, text: str) -> int:
        """The steps of a search in the text."""
        return 1 + len(text) * self._size // CHARACTERS_A_STEP

    def matches(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text."""
        return self._compiled.search(text) is not None


def _as_re2(escape: re.Match[str]) -> str:
    return rf"\x{{{escape[1]}}}" if escape[1] else escape[0]
