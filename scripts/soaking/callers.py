"""The clients: each sends one request after another, and checks every byte of the answers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.conformance import Answer, check_body, check_error_body, check_stream
from tests.support.proxy import CHAT, Line, chat_body
from tests.support.raw_client import Caller, leave

from .loads import LOADS, Load, words_of

LONGEST_ANSWER = 30.0
"""Seconds after which an answer counts as endless: ten times the slowest."""
LONGEST_PAUSE = 0.05
"""Seconds between two requests of one client."""
MOST_SHOWN = 10
KEY = "soak"
KEY_LINE = f"Authorization: Bearer {KEY}"


@dataclass
class Tally:
    """Counts of the results of all requests."""

    done: Counter[str] = field(default_factory=Counter)
    """Complete answers by load."""
    problems: Counter[str] = field(default_factory=Counter)
    """Problems by kind."""
    examples: list[str] = field(default_factory=list)

    def add_problem(self, kind: str, example: str) -> None:
        self.problems[kind] += 1
        if len(self.examples) < MOST_SHOWN:
            self.examples.append(f"{kind}: {example}")


class Client:
    """One of several; `name` is the session in which it keeps a history."""

    def __init__(self, port: int, name: str, tally: Tally, numbers: Iterator[int], chance: random.Random) -> None:
        self._port = port
        self._name = name
        self._tally = tally
        self._numbers = numbers
        self._chance = chance
        # state
        self._caller = Caller(port)

    async def work(self, stopping: asyncio.Event) -> None:
        names, weights = [*LOADS], [load.weight for load in LOADS.values()]
        while not stopping.is_set():
            (name,) = self._chance.choices(names, weights)
            await self._try(name, next(self._numbers))
            await asyncio.sleep(self._chance.uniform(0, LONGEST_PAUSE))
        await self._caller.aclose()

    async def _try(self, name: str, number: int) -> None:
        load = LOADS[name]
        try:
            async with asyncio.timeout(LONGEST_ANSWER):
                await (self._ask(name, load, number) if load.leaves is None else self._leave(name, load, number))
        except TimeoutError:
            await self._trouble("unfinished", f"{name} {number}")
        except (AssertionError, OSError, EOFError, ValueError) as error:
            await self._trouble("broken", f"{name} {number}: {type(error).__name__}: {error!s:.500}")
        self._tally.done[name] += 1

    async def _trouble(self, kind: str, example: str) -> None:
        self._tally.add_problem(kind, example)
        with contextlib.suppress(OSError):
            await self._caller.aclose()

    async def _ask(self, name: str, load: Load, number: int) -> None:
        stream = self._chance.random() < 0.7
        headers = [KEY_LINE, *([f"X-Session-Id: {self._name}"] if load.lasting else [])]
        status, _, body = await self._caller.post(chat_body(f"{name}/{number}", stream=stream), headers=headers)
        if status != 200:
            code = check_error_body(body)["code"]
        else:
            answer = check_stream(body, include_usage=False) if stream else check_body(body)
            code = answer.error["code"] if answer.error is not None else None
            self._compare(name, load, number, answer)
        if (code is None) != load.succeeds:
            kind = "half an answer sold as a whole" if code is None else "failed"
            self._tally.add_problem(kind, f"{name} {number}: {code}")

    def _compare(self, name: str, load: Load, number: int, answer: Answer) -> None:
        whole = "".join(words_of(load, number))
        if answer.text != whole if load.succeeds else not whole.startswith(answer.text):
            self._tally.add_problem("lost or doubled", f"{name} {number}: {answer.text[-200:]!r}")

    async def _leave(self, name: str, load: Load, number: int) -> None:
        """Disconnects after a part of the answer, or before it."""
        line = Line(*await asyncio.open_connection("127.0.0.1", self._port))
        headers = [KEY_LINE, *([f"X-Session-Id: {self._name}"] if load.lasting else [])]
        stream = self._chance.random() < 0.5
        await line.post(chat_body(f"{name}/{number}", stream=stream), path=CHAT, headers=headers)
        if stream:
            await line.read(self._chance.randint(1, 2000))
        else:
            await asyncio.sleep(self._chance.uniform(0, 0.2))
        assert load.leaves in ("close", "reset", "half-close")
        await leave(line, load.leaves)
        await line.close()


def clients(port: int, count: int, tally: Tally, seed: int) -> list[Client]:
    numbers = itertools.count()
    return [Client(port, f"client-{each}", tally, numbers, random.Random(f"{seed} {each}")) for each in range(count)]
