"""An answer of which the client wants JSON: fences are taken off, and its end waits for a check of the text.

Only an answer that ends by itself is checked. One that calls the client's tools, or that a limit has cut, says so.
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
)
from ...core.events import Event
from .fences import FenceStripper


class OutputCheck(Protocol):
    """What an answer's text has to be."""

    max_size: int
    """Characters of a text. A longer one does not fit, so no more of it is kept."""

    def check_briefly(self, text: str) -> bool:
        """Whether that was enough to see that the text fits. Raises AgentOutputInvalid if it does not."""

    def check(self, text: str) -> None:
        """May take a second. Raises AgentOutputInvalid."""


class PartSource(Protocol):
    """What translates a run; `translator.Translator` documents each method."""

    @property
    def ended(self) -> bool: ...

    def open(self) -> list[Part]: ...

    def feed(self, event: Event) -> list[Part]: ...

    def finish(self) -> None: ...


class StructuredAnswer:
    """Stands between a translator and what encodes its parts."""

    def __init__(self, translator: PartSource, *, strip_fences: bool, check: OutputCheck | None) -> None:
        self._translator = translator
        self._fences = FenceStripper() if strip_fences else None
        self._check = check
        # state
        self._text: list[str] = []
        self._size = 0
        self._sent = 0
        """Characters of text."""
        self._waiting: list[Part] = []

    @property
    def ended(self) -> bool:
        return self._translator.ended

    @property
    def waits(self) -> bool:
        """The last parts wait for a check."""
        return bool(self._waiting)

    def open(self) -> list[Part]:
        return self._translator.open()

    def feed(self, event: Event) -> list[Part]:
        """Like the translator's, without a fence, and without the end of an answer that is to be checked."""
        parts = self._translator.feed(event)
        if parts and self._fences is not None:
            parts = [kept for part in parts for kept in self._without_fence(part, self._fences)]
        return parts if self._check is None else self._until_end(parts, self._check.max_size)

    def finish(self) -> None:
        self._translator.finish()

    def check_briefly(self) -> bool:
        """Whether the last parts may go out. False if that takes longer to find out. Raises AgentOutputInvalid."""
        return self._check is None or self._check.check_briefly("".join(self._text))

    def check(self) -> None:
        """May take a second of the processor. Raises AgentOutputInvalid."""
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
        rest = self._as_text(None, fences.flush())
        if isinstance(part, Annotations) and fences.removed:
            part = _moved(part, fences.removed, self._sent)
        return [*rest, part]

    def _as_text(self, part: TextPart | TextBatch | None, text: str) -> list[Part]:
        self._sent += len(text)
        if part is not None and len(text) == len(part.text) and text == part.text:
            return [part]
        return [TextPart(text)] if text else []


def _moved(annotations: Annotations, removed: int, length: int) -> Annotations:
    """The same places in the text without its fence."""
    return Annotations(
        tuple(
            each._replace(start=min(max(each.start - removed, 0), length), end=min(max(each.end - removed, 0), length))
            for each in annotations.citations
        )
    )
