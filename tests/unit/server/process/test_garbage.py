"""When the garbage collector runs, and that it does run."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref

import pytest

from oaicompat_proxy.server.process import garbage
from oaicompat_proxy.server.process.garbage import FEW, LONGEST_INTERVAL, MANY, MUCH, SHARE, Collector, collecting
from tests.support.fake_clock import Clock


class Node:
    """An object in a cycle with itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize(
    ("allocations", "seconds", "due"),
    [
        (FEW, LONGEST_INTERVAL * 10, False),
        (FEW + 1, LONGEST_INTERVAL, True),
        (FEW + 1, LONGEST_INTERVAL - 0.1, False),
        (MANY, 1.0, False),
        (MANY + 1, 1.0, True),
    ],
)
def test_collection_is_due_by_allocations_and_time(allocations: int, seconds: float, due: bool) -> None:
    clock = Clock()
    collector = Collector(clock)
    clock.now += seconds
    assert collector.is_due(allocations) is due


def test_collection_is_due_when_memory_has_a_new_peak() -> None:
    clock, peak = Clock(), 10 * MUCH
    collector = Collector(clock, lambda: peak)
    clock.now += 1
    peak += MUCH
    assert not collector.is_due(0)
    peak += 1
    assert collector.is_due(0)
    collector.collect()
    clock.now += 1
    assert not collector.is_due(0)


def test_long_collection_is_not_repeated_at_once() -> None:
    clock = Clock()
    collector = Collector(clock)

    def be_slow(phase: str, info: dict[str, int]) -> None:
        clock.now += 0.1  # at its start, and at its end

    gc.callbacks.append(be_slow)
    try:
        collector.collect()
    finally:
        gc.callbacks.remove(be_slow)
    clock.now += 0.2 / SHARE - 0.1
    assert not collector.is_due(MANY * 10)
    clock.now += 0.2
    assert collector.is_due(MANY * 10)


def test_collection_frees_cycles() -> None:
    gone = weakref.ref(Node())
    Collector().collect()
    assert gone() is None


async def test_nothing_is_collected_automatically_while_serving() -> None:
    with collecting():
        gone = weakref.ref(Node())
        kept: list[list[int]] = [[] for _ in range(100_000)]
        assert gone() is not None
        assert not gc.isenabled()
    assert gc.isenabled()
    assert kept


async def test_collector_runs_beside_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oaicompat_proxy.server.process.garbage.CHECK_INTERVAL", 0.0)
    freed = asyncio.Event()
    with collecting():
        node = Node()
        weakref.finalize(node, freed.set)
        del node
        kept: list[list[int]] = [[] for _ in range(2 * MANY)]
        await asyncio.wait_for(freed.wait(), 10)
    assert kept


def test_the_interpreters_end_looks_at_no_object() -> None:
    """Whose memory is returned anyway: a cycle is not finalized."""
    program = f"""
import weakref
from {garbage.__name__} import end_without_collections
class Node:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print("collected")
node = Node()
end_without_collections()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == ""
