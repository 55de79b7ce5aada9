"""Token usage of a run, from the best source that the gateway reports (decision D6)."""

from __future__ import annotations

from dataclasses import replace

from ..core.events import Usage


class UsageMeter:
    """Collects the usage of messages, ticks and the run; the client gets `total()`."""

    __slots__ = ("_message", "_past_ticks", "_run", "_tick")

    def __init__(self) -> None:
        self._run: Usage | None = None
        self._tick: Usage | None = None
        self._message: Usage | None = None
        self._past_ticks: Usage | None = None

    def start_tick(self) -> None:
        """Adds the previous tick to the sum."""
        past = _best(self._tick, self._message)
        if past is not None:
            self._past_ticks = past if self._past_ticks is None else _add(self._past_ticks, past)
            self._tick = self._message = None

    def add_message(self, usage: Usage | None) -> None:
        self._message = _best(usage, self._message)

    def add_tick(self, usage: Usage | None) -> None:
        self._tick = _best(usage, self._tick)

    def add_run(self, usage: Usage | None) -> None:
        self._run = _best(usage, self._run)

    @property
    def has_message(self) -> bool:
        """The current message's tokens are known; some gateways report 0 first and the number later."""
        return self._message is not None and _is_counted(self._message)

    def total(self) -> Usage | None:
        """The run's own total, else the sum of its ticks, else of its messages; None if nothing was reported.

        Agentick's total of a run has no details, so these come from the ticks.
        """
        self.start_tick()
        total = _best(self._run, self._past_ticks)
        past = self._past_ticks
        return total if total is None or past is None or not _has_details(past) else _add_details(total, past)


def _is_counted(usage: Usage) -> bool:
    """Whether any number is above zero: gateways report zeros for unknown usage."""
    return usage.input_tokens > 0 or usage.output_tokens > 0 or usage.total_tokens > 0


def _has_details(usage: Usage) -> bool:
    return not (usage.reasoning_tokens is None and usage.cached_tokens is None and usage.cache_write_tokens is None)


def _best(first: Usage | None, second: Usage | None) -> Usage | None:
    """The first that is counted; zeros only if there is nothing better."""
    if second is None:
        return first
    if first is None or (not _is_counted(first) and _is_counted(second)):
        return second
    return first


def _add_details(usage: Usage, other: Usage) -> Usage:
    """`usage` with the details that only `other` has."""
    return replace(
        usage,
        reasoning_tokens=_known(usage.reasoning_tokens, other.reasoning_tokens),
        cached_tokens=_known(usage.cached_tokens, other.cached_tokens),
        cache_write_tokens=_known(usage.cache_write_tokens, other.cache_write_tokens),
    )


def _known(first: int | None, second: int | None) -> int | None:
    return second if first is None else first


def _add(first: Usage, second: Usage) -> Usage:
    return Usage(
        first.input_tokens + second.input_tokens,
        first.output_tokens + second.output_tokens,
        first.total_tokens + second.total_tokens,
        _add_known(first.reasoning_tokens, second.reasoning_tokens),
        _add_known(first.cached_tokens, second.cached_tokens),
        _add_known(first.cache_write_tokens, second.cache_write_tokens),
    )


def _add_known(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return _known(first, second)
    return first + second
