"""Patterns of a schema, in linear time: RE2 searches them, which has neither lookaround nor references back."""

from __future__ import annotations

import re

MAX_MEMORY = 1024 * 1024
"""Bytes of one compiled pattern; a larger one is refused."""

CHARACTERS_A_STEP = 1000
"""Characters of a text, for each instruction of the pattern, that take as long as a step of a check."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[\s\S])")


class UnsupportedPattern(ValueError):
    """The engine does not take the pattern."""


class Pattern:
    """A pattern of ECMA-262, as far as RE2 has it. Raises UnsupportedPattern."""

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
        """Of a search in the text."""
        return 1 + len(text) * self._size // CHARACTERS_A_STEP

    def matches(self, text: str) -> bool:
        """Anywhere in the text."""
        return self._compiled.search(text) is not None


def _as_re2(escape: re.Match[str]) -> str:
    return rf"\x{{{escape[1]}}}" if escape[1] else escape[0]
