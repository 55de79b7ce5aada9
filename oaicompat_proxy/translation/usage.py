"""What a run used, from the best of the sources that a gateway has for it (decision D6)."""

from __future__ import annotations

from ..core.events import Usage


class UsageMeter:
    """Takes what messages, ticks and the run say; `total()` is what to report."""

    def __init__(self) -> None:
        self._run: Usage | None = None
        self._tick: Usage | None = None
        self._message: Usage | None = None
        self._finished: Usage | None = None
        """Of the ticks before."""

    def start_tick(self) -> None:
        """What the tick before used is settled."""
        settled = _best(self._tick, self._message)
        if settled is not None:
            self._finished = settled if self._finished is None else _add(self._finished, settled)
            self._tick = self._message = None

    def note_message(self, usage: Usage | None) -> None:
        self._message = _best(usage, self._message)

    def note_tick(self, usage: Usage | None) -> None:
        self._tick = _best(usage, self._tick)

    def note_run(self, usage: Usage | None) -> None:
        self._run = _best(usage, self._run)

    @property
    def knows_message(self) -> bool:
        """Whether the current message's tokens are known; some gateways first say 0 and then the truth."""
        return self._message is not None and _tells(self._message)

    def total(self) -> Usage | None:
        """The run's own total, else the sum of its ticks, else of its messages; None if nothing was said."""
        if self._run is not None and _tells(self._run):
            return self._run
        self.start_tick()
        return _best(self._run, self._finished)


def _tells(usage: Usage) -> bool:
    used, made, total, *_ = usage
    return used > 0 or made > 0 or total > 0


def _best(first: Usage | None, second: Usage | None) -> Usage | None:
    """The first that tells something; a row of zeros is taken only if there is nothing better."""
    if second is None:
        return first
    if first is None or (_tells(second) and not _tells(first)):
        return second
    return first


def _add(first: Usage, second: Usage) -> Usage:
    return Usage(
        first.input_tokens + second.input_tokens,
        first.output_tokens + second.output_tokens,
        first.total_tokens + second.total_tokens,
        _add_known(first.reasoning_tokens, second.reasoning_tokens),
        _add_known(first.cached_tokens, second.cached_tokens),
    )


def _add_known(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second
