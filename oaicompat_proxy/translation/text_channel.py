"""One channel of text over several ticks: joined, separated, and whole in its characters."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


class SurrogateJoiner:
    """Joins a character whose two UTF-16 halves came in two pieces.

    A half whose partner never comes becomes U+FFFD: no client could decode it.
    """

    def __init__(self) -> None:
        self.half = ""
        """What still waits for its other half."""

    def feed(self, text: str) -> str:
        """What can be sent now: `text`, without a first half at its end."""
        if not self.half and (text.isascii() or not _SURROGATE.search(text)):
            return text
        text = self.half + text
        self.half = ""
        if "\ud800" <= text[-1:] <= "\udbff":
            self.half, text = text[-1], text[:-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def flush(self) -> str:
        """The replacement of a half that is still waiting, or nothing."""
        half, self.half = self.half, ""
        return "\ufffd" if half else ""


class Channel:
    """The text of one kind that the ticks of a run say one after another."""

    def __init__(self, separator: str) -> None:
        """`separator` stands between the texts of two ticks."""
        self._separator = separator
        self._joiner = SurrogateJoiner()
        # moving
        self.said = False
        self.said_in_tick = False
        """The agent itself said something in this tick; interjections do not count."""
        self._before = ""
        self._used = False

    def feed(self, text: str) -> str:
        """What to send for this piece: with the separator in front if a new tick speaks for the first time."""
        if text:
            self.said = self.said_in_tick = True  # also by half a character, which waits for its other half
        text = self._joiner.feed(text)
        return self._after_pause(text) if text else ""

    def flow(self) -> bool:
        """Takes the next text over as it is: False if something is to be put in front of it, so that it must be fed."""
        if self._before or self._joiner.half:
            return False
        self.said = self.said_in_tick = self._used = True
        return True

    @property
    def flowing(self) -> bool:
        """The next text follows directly on what is out: nothing is to be put in front of it."""
        return self.said_in_tick and not self._before and not self._joiner.half

    def interject(self, line: str) -> str:
        """What to send for a line that is not the agent's own text: a paragraph of its own."""
        rest = self.pause()
        line = rest + self._after_pause(line)
        self.pause()
        return line

    def end_tick(self) -> str:
        """The tick is over: what is still to be sent of it."""
        rest = self.pause()
        self.said_in_tick = False
        return rest

    def _after_pause(self, text: str) -> str:
        self._used = True
        text, self._before = self._before + text, ""
        return text

    def pause(self) -> str:
        """The next text stands apart; what is still to be sent of this one."""
        rest = self._after_pause(self._joiner.flush()) if self._joiner.half else ""
        self._before = self._separator if self._used else ""
        return rest
