"""Text or reasoning of an answer over several ticks: joins deltas, separates ticks, repairs split characters."""

from __future__ import annotations

import re

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class SurrogateJoiner:
    """Joins a character whose two UTF-16 surrogates came in two pieces.

    A lone surrogate becomes U+FFFD, because UTF-8 cannot encode it.
    """

    __slots__ = ("half",)

    def __init__(self) -> None:
        self.half = ""
        """A first half that waits for the second."""

    def feed(self, text: str) -> str:
        """The text to send now: `text`, without a first half at its end."""
        if not self.half and (text.isascii() or not _SURROGATE.search(text)):
            return text
        text = self.half + text
        self.half = ""
        if text and 0xD800 <= ord(text[-1]) <= 0xDBFF:
            self.half, text = text[-1], text[:-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def flush(self) -> str:
        """U+FFFD for a half that still waits, or nothing."""
        half, self.half = self.half, ""
        return "\ufffd" if half else ""


class TextChannel:
    """Text or reasoning of a run, tick after tick. Methods return the text to send now."""

    __slots__ = ("_is_used", "_joiner", "_prefix", "_separator", "has_text", "has_text_in_tick")

    def __init__(self, separator: str) -> None:
        """`separator` stands between the texts of two ticks."""
        self._separator = separator
        self._joiner = SurrogateJoiner()
        # state
        self.has_text = False
        """The agent wrote at least one character; inserted paragraphs do not count."""
        self.has_text_in_tick = False
        self._prefix = ""
        """Sent in front of the next text."""
        self._is_used = False

    def append(self, text: str) -> str:
        """Adds the agent's own text; the first text of a tick gets a separator in front."""
        if text:
            self.has_text = self.has_text_in_tick = True  # a half character counts, though it waits for its other half
        text = self._joiner.feed(text)
        return self._with_prefix(text) if text else ""

    def append_unchanged(self) -> bool:
        """Adds text of whole characters that is sent unchanged. False if a prefix is due: then nothing is added."""
        if self._prefix or self._joiner.half:
            return False
        self.has_text = self.has_text_in_tick = self._is_used = True
        return True

    def insert_paragraph(self, line: str) -> str:
        """Adds a line that is not the agent's own text."""
        rest = self.break_here()
        line = rest + self._with_prefix(line)
        self.break_here()
        return line

    def break_here(self) -> str:
        """Ends a paragraph: the next text gets a separator in front. Returns the rest of this paragraph."""
        rest = self._with_prefix(self._joiner.flush()) if self._joiner.half else ""
        self._prefix = self._separator if self._is_used else ""
        return rest

    def end_tick(self) -> str:
        """Ends a tick; returns the rest of its text."""
        rest = self.break_here()
        self.has_text_in_tick = False
        return rest

    def _with_prefix(self, text: str) -> str:
        self._is_used = True
        text, self._prefix = self._prefix + text, ""
        return text
