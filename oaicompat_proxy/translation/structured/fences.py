"""Removes the Markdown fence from a streamed text that is one fenced block.

Models put JSON between lines of three backticks, of which the first may say `json`. Only characters that may belong to
a fence are held back.
"""

from __future__ import annotations

import re

MAX_HELD = 64
"""Characters that are held back at most. Longer white space, or a longer word behind the backticks, is no fence."""

FENCE = "```"
_OPENING = re.compile(r"```[\w+.-]*[ \t]*\r?\n", re.ASCII)
_MAYBE_OPENING = re.compile(r"`{0,2}|```[\w+.-]*[ \t]*\r?", re.ASCII)


class FenceStripper:
    """Removes the fence of one text. `feed` and `flush` return the text to send now."""

    def __init__(self) -> None:
        # state
        self._held = ""
        self._undecided = True
        """Nothing was sent yet: the text may begin with a fence."""
        self.removed = 0
        """Characters that were removed from the start of the text."""
        self._fenced = False

    @property
    def passes(self) -> bool:
        """The text does not begin with a fence, so it is sent unchanged."""
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
        """The held characters without a closing fence, at the end of the text or before a part of another kind."""
        held, self._held = self._held, ""
        if not held:
            return ""
        self._undecided, was_fenced, self._fenced = False, self._fenced, False
        return "" if was_fenced and held.strip() == FENCE else held


def _end_of_content(text: str) -> int:
    """The index at which a closing fence may begin: up to three final backticks with white space around them."""
    stripped = text.rstrip()
    if stripped.endswith(FENCE):
        content = stripped.removesuffix(FENCE)
    else:  # one or two backticks at the very end may be the beginning of three
        content = stripped.rstrip("`") if len(stripped) == len(text) else stripped
    return max(len(content.rstrip()), len(text) - MAX_HELD)
