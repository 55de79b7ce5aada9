"""The ways to load a target: repeated requests, a window of long streams, streams that stay open."""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from ..gateway.frames import texts
from .checks import MARKS, Checker, Incomplete, check_begun
from .order import Order, Summary, quantiles
from .stream import Answer, Stream

AT_ONCE = 64
"""Connections that wait for their first bytes at the same time: fewer than any target rejects."""
PER_SECOND = 1000
"""Streams begun in a second, where the first bytes come later."""
PATIENCE = 60.0
"""Seconds until a missing answer fails the load."""
QUIET_PACES = 20
"""A stream that is silent for this many paces has sent all of its deltas."""
WARMERS = 20
"""Streams that are opened before memory is measured."""


class Driver(abc.ABC):
    """Executes an order: `prepare` is not measured, `measure` is, `finish` returns the results."""

    def __init__(self, order: Order) -> None:
        self._order = order
        # state
        self._streams: list[Stream] = []
        self._kept: list[Answer] = []
        self._asked = 0

    @abc.abstractmethod
    async def prepare(self) -> None: ...

    @abc.abstractmethod
    async def measure(self) -> None: ...

    @abc.abstractmethod
    async def finish(self) -> Summary: ...

    def close(self) -> None:
        for stream in self._streams:
            stream.close()

    async def _connect(self) -> Stream:
        loop = asyncio.get_running_loop()
        port = self._order.ports[len(self._streams) % len(self._order.ports)]
        stream = Stream(self._ended, stamped=self._order.run.stamped)
        self._streams.append(stream)
        async with asyncio.timeout(PATIENCE):
            await loop.create_connection(lambda: stream, "127.0.0.1", port)
        return stream

    def _ask(self, stream: Stream) -> None:
        self._asked += 1
        stream.ask(self._order.request(self._asked))

    def _ended(self, stream: Stream) -> None:
        self._kept.append(stream.answer)

    async def _until(self, condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {patience:g} s for {what}")
            await asyncio.sleep(0.02)

    def _check_all(self) -> Summary:
        summary = Summary(requests=len(self._kept))
        checker = Checker(self._order.kind, list(texts(self._order.run)))
        for answer in self._kept:
            try:
                if answer.error:
                    raise Incomplete(answer.error)
                checker.check(answer.raw())
                summary.deltas += self._order.run.deltas
            except Incomplete as error:
                summary.broken.append(str(error))
        whole = [answer for answer in self._kept if not answer.error]
        summary.first_byte = quantiles([answer.first - answer.asked for answer in whole])
        summary.duration = quantiles([answer.last - answer.asked for answer in whole])
        return summary


class Repeat(Driver):
    """Every connection sends the next request as soon as it has its answer."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._until_time = 0.0
        self._over = asyncio.Event()

    async def prepare(self) -> None:
        for _ in range(self._order.connections):
            await self._connect()
        await self._go(self._order.warm)
        self._kept = [answer for answer in self._kept if answer.error]

    async def measure(self) -> None:
        await self._go(self._order.seconds)

    async def finish(self) -> Summary:
        return self._check_all()

    async def _go(self, seconds: float) -> None:
        self._until_time = time.monotonic() + seconds
        self._over.clear()
        asking = [stream for stream in self._streams if stream.open]
        for stream in asking:
            self._ask(stream)
        if asking:
            async with asyncio.timeout(seconds + PATIENCE):
                await self._over.wait()

    def _ended(self, stream: Stream) -> None:
        super()._ended(stream)
        if stream.open and time.monotonic() < self._until_time and self._asked < self._order.most:
            self._ask(stream)
        elif not any(each.busy for each in self._streams):
            self._over.set()


class Count(Repeat):
    """`Repeat` with a fixed number of requests."""

    async def prepare(self) -> None:
        for _ in range(self._order.connections):
            await self._connect()


class Steady(Driver):
    """Every connection sends one request; a window in which all streams run is measured."""

    async def prepare(self) -> None:
        for _ in range(self._order.connections):
            self._ask(await self._connect())
            await asyncio.sleep(1 / PER_SECOND)
        await self._until(lambda: all(stream.spoke for stream in self._streams), "every stream's first words")
        await asyncio.sleep(self._order.warm)

    async def measure(self) -> None:
        marks = [stream.mark() for stream in self._streams]
        await asyncio.sleep(self._order.seconds)
        for stream, mark in zip(self._streams, marks, strict=True):
            stream.window = (mark, stream.mark())

    async def finish(self) -> Summary:
        run = self._order.run
        patience = PATIENCE + run.deltas * run.pace / 1000
        await self._until(lambda: not any(stream.busy for stream in self._streams), "the streams' ends", patience)
        summary = self._check_all()
        summary.first_byte = summary.duration = []
        summary.deltas = sum(stream.count(MARKS[self._order.kind]) for stream in self._streams)
        summary.relay = quantiles([delay for stream in self._streams for delay in stream.delays()])
        return summary


class Hold(Driver):
    """Every connection sends one request, whose answer never ends; the cost of opening it is measured."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._warmers: list[Stream] = []

    async def prepare(self) -> None:
        """Warms up with a few streams of one delta."""
        order = self._order
        self._order = replace(order, run=replace(order.run, deltas=1))
        await self._open(WARMERS)
        self._order, self._streams, self._warmers = order, [], self._streams

    async def measure(self) -> None:
        await self._open(self._order.connections)
        await self._settle()

    async def finish(self) -> Summary:
        """Checks that all sent deltas have arrived, and that the streams are still open."""
        summary = Summary(requests=self._order.connections)
        expected = list(texts(self._order.run))
        for stream in self._streams:
            try:
                if not stream.open:
                    raise Incomplete("a held stream was ended")
                check_begun(self._order.kind, stream.answer.payload(), expected)
                summary.deltas += len(expected)
            except Incomplete as error:
                summary.broken.append(str(error))
        return summary

    def close(self) -> None:
        super().close()
        for stream in self._warmers:
            stream.close()

    async def _open(self, count: int) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def open_one() -> None:
            async with gate, asyncio.timeout(PATIENCE):
                stream = await self._connect()
                self._ask(stream)
                await stream.spoken.wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(open_one())

    async def _settle(self) -> None:
        """Waits until no more bytes arrive."""
        order, before = self._order, -1
        deadline = time.monotonic() + PATIENCE + order.run.deltas / order.run.batch * order.run.pace / 1000
        while (now := sum(stream.mark() for stream in self._streams)) != before and time.monotonic() < deadline:
            before = now
            await asyncio.sleep(max(order.warm, QUIET_PACES * order.run.pace / 1000))


DRIVERS: dict[str, type[Driver]] = {"repeat": Repeat, "count": Count, "steady": Steady, "hold": Hold}
