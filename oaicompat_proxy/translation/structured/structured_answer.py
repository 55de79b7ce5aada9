"""An answer whose text is to be JSON: fences are removed, and its end waits for a check of the text.

Only an answer with the finish reason `stop` is checked. Others call the client's tools, or were cut by a limit.
"""

from __future__ import annotations

from typing import Protocol

from ...core.answer import (
    Annotations,
    AnswerFinished,
    AnswerStarted,
    FinishReason,
    Part,
    ReasoningPart,
    TextBatch,
    TextPart,
    UrlCitation,
)
from ...core.events import Event
from .fences import FenceStripper


class OutputCheck(Protocol):
    """A check of an answer's whole text."""

    max_size: int
    """Characters of the longest text that can fit; of a longer text no more is kept."""

    def check_briefly(self, text: str) -> bool:
        """True if the text fits, False if only `check` can decide. Raises AgentOutputInvalid if it does not fit."""

    def check(self, text: str) -> None:
        """May take a second of CPU time. Raises AgentOutputInvalid if the text does not fit."""


class PartSource(Protocol):
    """A translator of one run; `translator.Translator` documents each method."""

    @property
    def ended(self) -> bool: ...

    def open(self) -> list[Part]: ...

    def feed(self, event: Event) -> list[Part]: ...

    def finish(self) -> None: ...


class StructuredAnswer:
    """Wraps a translator: same methods, and the check of its text."""

    def __init__(self, translator: PartSource, *, strip_fences: bool, check: OutputCheck | None) -> None:
        self._translator = translator
        self._fences = FenceStripper() if strip_fences else None
        self._check = check
        # state
        self._text: list[str] = []
        self._size = 0
        self._sent = 0
        """Characters of text that were sent."""
        self._waiting: list[Part] = []
        self._cited: tuple[UrlCitation, ...] = ()
        """Citations that wait for the end of the text: until then the end of a fence is unknown."""

    @property
    def ended(self) -> bool:
        return self._translator.ended

    @property
    def waits(self) -> bool:
        """The answer's last parts wait for a check."""
        return bool(self._waiting)

    def open(self) -> list[Part]:
        return self._translator.open()

    def feed(self, event: Event) -> list[Part]:
        """The translator's parts without a fence, and without those that wait for the check."""
        parts = self._translator.feed(event)
        if parts and self._fences is not None:
            parts = [kept for part in parts for kept in self._without_fence(part, self._fences)]
        return parts if self._check is None else self._until_end(parts, self._check.max_size)

    def finish(self) -> None:
        self._translator.finish()

    def check_briefly(self) -> bool:
        """True if the last parts may be sent, False if only `check` can decide. Raises AgentOutputInvalid."""
        return self._check is None or self._check.check_briefly("".join(self._text))

    def check(self) -> None:
        """May take a second of CPU time. Raises AgentOutputInvalid."""
        if self._check is not None:
            self._check.check("".join(self._text))

    def take_waiting(self) -> list[Part]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def _until_end(self, parts: list[Part], max_size: int) -> list[Part]:
        for index, part in enumerate(parts):
            if isinstance(part, (TextPart, TextBatch)):
                if self._size <= max_size:
                    self._text.append(part.text)
                self._size += len(part.text)
            elif isinstance(part, AnswerFinished) and part.reason is FinishReason.STOP:
                self._waiting = parts[index:]
                return parts[:index]
        return parts

    def _without_fence(self, part: Part, fences: FenceStripper) -> list[Part]:
        if isinstance(part, (TextPart, TextBatch)):
            return self._as_text(part, fences.feed(part.text))
        if isinstance(part, (AnswerStarted, ReasoningPart)):
            return [part]
        if isinstance(part, Annotations):
            self._cited += part.citations
            return []
        rest = self._as_text(None, fences.flush())
        if not self._cited:
            return [*rest, part]
        cited, self._cited = self._cited, ()
        return [*rest, _moved(cited, fences.removed, self._sent), part]

    def _as_text(self, part: TextPart | TextBatch | None, text: str) -> list[Part]:
        self._sent += len(text)
        if part is not None and len(text) == len(part.text) and text == part.text:
            return [part]
        return [TextPart(text)] if text else []


def _moved(citations: tuple[UrlCitation, ...], removed: int, length: int) -> Annotations:
    """The citations, with positions in the text without its fence."""
    if not removed:
        return Annotations(citations)
    return Annotations(
        tuple(
            each._replace(start=min(max(each.start - removed, 0), length), end=min(max(each.end - removed, 0), length))
            for each in citations
        )
    )
