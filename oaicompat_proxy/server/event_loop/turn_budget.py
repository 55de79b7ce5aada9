"""Bounds the work of one turn of the event loop, so that many sockets that are ready at once do not stop all others.

libuv reads every ready socket in one turn, and each read brings work: a request is dispatched, an answer translated.
Beyond the time of the turn, a connection keeps its read, and is served in one of the next turns.

A read wakes tasks, which work in the next turn. Their time is estimated, and the estimates are corrected by the time
that full turns took, so that the same budget holds on a slower machine.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic, thread_time
from weakref import WeakKeyDictionary

LONGEST_TURN = 0.005
"""Seconds of work in one turn.

The more requests share a turn, the less each costs: with a turn of 3 of them instead of 16 it was 35 % more. Under 200
streams that began at once and brought 500 deltas each, the longest pause was 4 to 9 ms."""

QUANTUM = 32 * 1024
"""Bytes that are read before the clock is looked at: the work that they bring takes 0.2 to 1 ms."""

STEP_TIME = 0.00015
"""Seconds that a task works because of a read: the dispatch of a request, the first event of its answer, its end."""

FIRST_REQUEST_TIME = 0.0006
"""The same for the first request of a connection, which often needs a new connection to the gateway, too."""

STEP_BYTES = 8 * 1024
"""The same as bytes of a quantum."""

BYTE_TIME = 12e-9
"""Seconds for a byte of an agent's stream that a task translates."""

CARRIED = 0.5
"""The part of the tasks' time that is expected again in the next turn: a task that connects goes on in later turns."""

MEASURED = 0.001
"""Estimated seconds of a turn's tasks from which its time corrects the estimates."""

WEIGHT = 0.1
"""How much one turn corrects them."""

FASTEST, SLOWEST = 0.5, 4.0
"""The bounds of the factor between time and estimate. Above, something else took the time, such as a large body. Below,
the next requests of another kind would come too many at once."""

KEPT_UNPAUSED = 16 * 1024
"""Bytes that a connection keeps for a later turn without pausing its socket: it costs two system calls."""


class TurnBudget:
    """The budget of one event loop. A protocol does this for each read:

    `if budget.left <= 0 and not budget.extend(): budget.defer(…)`, else it subtracts the size of the read from `left`,
    and calls `expect_step` or `expect_first_request` if a task does the work. A read after a deferred one waits
    with it, whatever is left.
    """

    __slots__ = (
        *("_begun", "_clock", "_deferred", "_expected", "_is_counting", "_loop"),
        *("_pace", "_processor", "_processor_clock", "_woken", "left"),
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = monotonic,
        processor_clock: Callable[[], float] = thread_time,
    ) -> None:
        """`clock`: seconds. `processor_clock`: seconds that this thread has worked."""
        self._loop = loop
        self._clock = clock
        self._processor_clock = processor_clock
        # state
        self.left = QUANTUM
        """Bytes until `extend` must be asked."""
        self._is_counting = False
        """The next turn is noticed. It costs a callback, so the first quantum may be spent over several turns."""
        self._begun = 0.0
        self._expected = 0.0
        """Estimated seconds of the tasks that reads have woken and that have not run yet."""
        self._woken = 0.0
        """Those of the tasks that run in this turn."""
        self._processor = 0.0
        self._pace = 1.0
        """Seconds that an estimated second takes."""
        self._deferred: deque[Callable[[], None]] = deque()

    def expect_first_request(self) -> None:
        """A task will handle the first request of a connection."""
        self._expected += FIRST_REQUEST_TIME
        self.left -= STEP_BYTES

    def expect_step(self, size: int = 0) -> None:
        """A task will do a step of a request's work because of this read. `size`: the bytes that it will translate."""
        self._expected += STEP_TIME + size * BYTE_TIME
        self.left -= STEP_BYTES

    def extend(self) -> bool:
        """Whether this turn has time for another quantum, which begins now."""
        if not self._is_counting:
            self._expected = 0.0  # its tasks may have run in earlier turns
            self._count()
        elif self._clock() - self._begun + self._expected * self._pace > LONGEST_TURN:
            return False
        self.left = QUANTUM
        return True

    def defer(self, read: Callable[[], None]) -> None:
        """Calls `read` in one of the next turns, after those that wait already. Only if `extend` has refused."""
        self._deferred.append(read)

    def allow(self) -> None:
        """Allows one more read, whatever has been spent: what has arrived is delivered before the connection's end."""
        self.left = max(self.left, 1)

    def _count(self) -> None:
        self._is_counting = True
        self._woken = 0.0
        self._begun = self._clock()
        self._loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        if self._woken > MEASURED:
            self._correct((self._processor_clock() - self._processor) / self._woken)
        self.left = QUANTUM
        woken, deferred = self._expected, self._deferred
        if deferred:
            self._count()
            self._woken, self._processor = woken, self._processor_clock()  # a system call, so only in full turns
            while deferred and (self.left > 0 or self.extend()):
                deferred.popleft()()
        else:
            self._is_counting = False
        self._expected -= woken * (1 - CARRIED)  # those tasks run in this turn, and the clock sees them

    def _correct(self, pace: float) -> None:
        self._pace += (min(max(pace, FASTEST), SLOWEST) - self._pace) * WEIGHT


_budgets: WeakKeyDictionary[asyncio.AbstractEventLoop, TurnBudget] = WeakKeyDictionary()


def turn_budget() -> TurnBudget:
    """The budget of the running event loop, shared by all its connections."""
    loop = asyncio.get_running_loop()
    budget = _budgets.get(loop)
    if budget is None:
        budget = _budgets[loop] = TurnBudget(loop)
    return budget
