"""Runs one load on one target: controls the client, and reads the cost from the operating system."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..load.loads import Load
from ..load.order import Order, Summary
from ..targets.processes import Measured, Process, module
from ..targets.stage import Stage, Target
from . import machine

LONGEST = 300.0
"""Seconds for one step of a client."""


class ClientFailed(Exception):
    """The load client ended without a result; the reason is on stderr."""


@dataclass(slots=True)
class Figures:
    """The results of one load on one target in one round."""

    target: str
    load: str
    came: Summary
    seconds: float = 0.0
    cpu: int = 0
    """Nanoseconds of the target's processor time, as the two below."""
    gateway_cpu: int = 0
    client_cpu: int = 0
    others: float = 0.0
    """Share of the machine's processor time that other processes took."""
    memory: int = 0
    """Bytes by which the target grew."""
    connections: int = 0
    due: int = 0
    """Deltas that the gateway sent, where it has a pace."""


@dataclass(slots=True)
class Reading:
    """The operating system's counters at one moment; `cpu` is nanoseconds."""

    cpu: int
    gateway_cpu: int
    memory: int
    busy: int
    time: int


def nothing() -> None:
    """Does nothing during a load."""


def run_load(
    load: Load,
    target: Target,
    stage: Stage,
    during: Callable[[], None] = nothing,
    opened: Callable[[], None] = nothing,
) -> Figures:
    """A load that fails gives figures, too: they say what is broken.

    `during` is called when the load begins, `opened` when it is over and its connections are still open.
    """
    try:
        return _measure(load, build_order(load, target), target, stage, during, opened)
    except ClientFailed as error:
        return Figures(target.name, load.name, Summary(requests=1, broken=[str(error)]))


def build_order(load: Load, target: Target) -> Order:
    return Order(
        ports=target.ports,
        path=target.path(load.api),
        kind=_kind(load, target),
        run=load.run,
        connections=load.connections,
        mode=load.mode,
        seconds=load.seconds,
        warm=load.warm,
        most=load.most,
        model=target.model,
        headers=target.headers,
    )


def _kind(load: Load, target: Target) -> str:
    if target.native:
        return "native"
    if load.api != "chat":
        return load.api
    return "whole" if load.whole else "chunks"


def _measure(
    load: Load,
    order: Order,
    target: Target,
    stage: Stage,
    during: Callable[[], None],
    opened: Callable[[], None],
) -> Figures:
    rests = load.mode != "steady"
    with _client(order, stage) as client:
        client.receive()
        before = _read(target.process, stage.gateway, rests)
        done = client.ask(during)
        after = _read(target.process, stage.gateway, rests)
        opened()
        came = Summary(**client.ask())
    seconds = done["seconds"]
    cpu, gateway_cpu = after.cpu - before.cpu, after.gateway_cpu - before.gateway_cpu
    ours = done["client_cpu"] + cpu + (gateway_cpu if target.process is not stage.gateway else 0)
    passed = (after.time - before.time) * (os.cpu_count() or 1)
    return Figures(
        target=target.name,
        load=load.name,
        came=came,
        seconds=seconds,
        cpu=cpu,
        gateway_cpu=gateway_cpu,
        client_cpu=done["client_cpu"],
        others=max(0.0, (after.busy - before.busy - ours) / passed),
        memory=after.memory - before.memory,
        connections=load.connections,
        due=round(load.connections * seconds * 1000 / load.run.pace) if load.run.pace else 0,
    )


def _read(process: Measured, gateway: Measured, rests: bool) -> Reading:
    cpu = process.cpu_at_rest() if rests else process.cpu()
    return Reading(cpu, gateway.cpu(), process.memory(), machine.busy(), time.monotonic_ns())


class _Client:
    """A load client's process, controlled line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def receive(self) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], LONGEST)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise ClientFailed("the load client had no result" + ("" if ready else f" after {LONGEST:g} s"))
        return line

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # a line that nobody read
                pipe.close()

    def ask(self, during: Callable[[], None] = nothing) -> dict[str, Any]:
        """Starts the client's next step and waits for its result."""
        self.send("go")
        during()
        result: dict[str, Any] = json.loads(self.receive())
        return result


@contextlib.contextmanager
def _client(order: Order, stage: Stage) -> Iterator[_Client]:
    pipe = subprocess.PIPE
    process = Process("client", module("load.client"), stage.keeper, stdin=pipe, stdout=pipe, text=True)
    client = _Client(process.popen)
    try:
        client.send(json.dumps(asdict(order)))
        yield client
    finally:
        process.stop(within=0)
        client.close()
