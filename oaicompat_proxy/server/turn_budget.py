"""Bounds the work of one turn of the event loop, so that many sockets that are ready at once do not stop all others.

libuv reads every ready socket in one turn, and each read brings work: a request is dispatched, an answer translated.
Beyond the budget of the turn, a connection keeps its read, pauses its socket, and is served in one of the next turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

QUANTUM = 32 * 1024
"""Half of a turn's budget, in bytes of an agent's stream: the work that they bring takes 1 to 2 milliseconds, the more
the shorter the reads are. Bytes are counted because they cost no clock and are the same in each run."""

TASK_STEP = 20 * 1024
"""What one step of a request's task costs: its dispatch to the agent, its first event, its end."""


class TurnBudget:
    """The budget of one event loop. A protocol does this for each read:

    `if budget.left <= 0 and not budget.extend(): budget.defer(…)`, else it subtracts the cost from `left`.
    """

    __slots__ = ("_deferred", "_is_counting", "_loop", "left")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # state
        self.left = QUANTUM
        """Bytes until `extend` must be asked."""
        self._is_counting = False
        """The next turn is noticed. It costs a callback, so the first quantum may be spent over several turns."""
        self._deferred: deque[Callable[[], None]] = deque()

    def extend(self) -> bool:
        """Whether this turn has a second quantum, which begins now."""
        if self._is_counting:
            return False
        self._is_counting = True
        self.left = QUANTUM
        self._loop.call_soon(self._begin_turn)
        return True

    def defer(self, read: Callable[[], None]) -> None:
        """Calls `read` in one of the next turns, after those that wait already. Only if `extend` has refused."""
        self._deferred.append(read)

    def allow(self) -> None:
        """Allows one more read, whatever has been spent: what has arrived is delivered before the connection's end."""
        self.left = max(self.left, 1)

    def _begin_turn(self) -> None:
        self._is_counting = False
        self.left = QUANTUM
        deferred = self._deferred
        try:
            while deferred and (self.left > 0 or self.extend()):
                deferred.popleft()()
        finally:
            if deferred and not self._is_counting:  # a read has failed
                self.extend()


_budgets: WeakKeyDictionary[asyncio.AbstractEventLoop, TurnBudget] = WeakKeyDictionary()


def turn_budget() -> TurnBudget:
    """The budget of the running event loop, shared by all its connections."""
    loop = asyncio.get_running_loop()
    budget = _budgets.get(loop)
    if budget is None:
        budget = _budgets[loop] = TurnBudget(loop)
    return budget
