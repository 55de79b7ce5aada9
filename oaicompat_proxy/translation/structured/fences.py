"""Takes the Markdown fence off a text that is all one fenced block, while it is streamed.

Models put JSON between lines of three backticks, the first with `json` behind them. Only what may belong to a fence is
held back.
"""

from __future__ import annotations

import re

MAX_HELD = 64
"""Characters that are held back at most. Longer white space, or a longer word behind the backticks, is no fence."""

FENCE = "```"
_OPENING = re.compile(r"```[\w+.-]*[ \t]*\r?\n", re.ASCII)
_MAYBE_OPENING = re.compile(r"`{0,2}|```[\w+.-]*[ \t]*\r?", re.ASCII)


class FenceStripper:
    """One text. `feed` and `flush` return what can be sent."""

    def __init__(self) -> None:
        # state
        self._held = ""
        self._undecided = True
        """Nothing was sent yet: the text may begin with a fence."""
        self.removed = 0
        """Characters in front of the text that were taken off."""
        self._fenced = False

    @property
    def passes(self) -> bool:
        """The text has no fence in front: all of it goes through as it is."""
        return not (self._undecided or self._fenced)

    def feed(self, text: str) -> str:
        if self.passes:
            return text
        text = self._held + text
        if self._undecided:
            rest = text.lstrip()
            if opening := _OPENING.match(rest):
                self._undecided, self._fenced = False, True
                self.removed = len(text) - len(rest) + opening.end()
                text = text[self.removed :]
            elif len(text) <= MAX_HELD and _MAYBE_OPENING.fullmatch(rest):
                self._held = text
                return ""
            else:
                self._undecided, self._held = False, ""
                return text
        end = _end_of_content(text)
        self._held = text[end:]
        return text[:end]

    def flush(self) -> str:
        """The text ends, or something else follows it."""
        held, self._held = self._held, ""
        if not held:
            return ""
        self._undecided, was_fenced, self._fenced = False, self._fenced, False
        return "" if was_fenced and held.strip() == FENCE else held


def _end_of_content(text: str) -> int:
    """Where a closing fence may begin: up to three backticks at the end, with white space around them."""
    stripped = text.rstrip()
    if stripped.endswith(FENCE):
        content = stripped.removesuffix(FENCE)
    else:  # one or two backticks at the very end may be the beginning of three
        content = stripped.rstrip("`") if len(stripped) == len(text) else stripped
    return max(len(content.rstrip()), len(text) - MAX_HELD)
