"""Names made of chance, for requests, answers and sessions.

To ask the system costs more than all the rest of a name, so it is asked for many at once. None of them tells anything
of another, none is given twice, and a process that is forked makes its own.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable

AT_ONCE = 128
"""Names that are made together, of some kilobytes."""


class Names:
    """All of the same length."""

    def __init__(self, size: int, in_words: Callable[[bytes], str]) -> None:
        """`size`: bytes of chance in each name. `in_words`: of one after the other are the words of both."""
        self._size = size
        self._in_words = in_words
        # moving
        self._ready: list[str] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._ready.clear)

    def draw(self) -> str:
        """Another each time, in every thread and process."""
        try:
            return self._ready.pop()
        except IndexError:
            words = self._in_words(os.urandom(self._size * AT_ONCE))
            length = len(words) // AT_ONCE
            mine, *others = [words[start : start + length] for start in range(0, len(words), length)]
            self._ready.extend(others)
            return mine


def _in_base64(chance: bytes) -> str:
    return base64.urlsafe_b64encode(chance).decode()


new_id = Names(16, bytes.hex).draw
"""32 hexadecimal digits."""

new_secret = Names(24, _in_base64).draw
"""32 letters, digits, `-` and `_`, which nobody can guess."""
