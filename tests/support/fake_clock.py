"""An event loop with a fake clock: instead of waiting, the clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from oaicompat_proxy.server.event_loop.shared_timer import shared_timer


class Clock:
    """A clock that only a test moves, by `now`."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class _NoWaiting(selectors.DefaultSelector):
    """A selector that adds each timeout to the clock and does not wait."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "it would wait without end"
        self.waited += max(timeout, 0)
        return super().select(0)


class FakeClockLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _NoWaiting()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.waited


def loop_timers() -> list[Any]:
    """The loop's timers that are not cancelled."""
    loop: Any = asyncio.get_running_loop()
    return [timer for timer in loop._scheduled if not timer.cancelled()]


def timers() -> list[Any]:
    """The loop's timers that are not cancelled; the shared one only as long as something waits in it."""
    shared = shared_timer(asyncio.get_running_loop())
    return [timer for timer in loop_timers() if len(shared) or getattr(timer._callback, "__self__", None) is not shared]


def with_fake_clock(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs the test on FakeClockLoop; fails if timers or tasks are left at the end."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        async def and_nothing_left() -> None:
            loop = asyncio.get_running_loop()
            unseen: list[Any] = []
            loop.set_exception_handler(lambda _, context: unseen.append(context))
            await test(**fixtures)
            assert timers() == []
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert unseen == []

        with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
            runner.run(and_nothing_left())

    return run
