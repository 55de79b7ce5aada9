"""Checks that a test leaves no tasks, no sockets, and no sessions or runs at a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_gateway import PATIENCE

TURNS_TO_CLOSE = 100


OPEN = Path("/proc/self/fd")


def descriptors() -> set[str]:
    """The numbers of open file descriptors; empty on systems without /proc."""
    return set(os.listdir(OPEN)) if OPEN.exists() else set()


def check_descriptors(before: Collection[str]) -> None:
    """Fails if there are more sockets than before. Files and pipes are ignored: a late import may open some."""
    if len(descriptors()) <= len(before):
        return
    gc.collect()
    left = {}
    for number in descriptors() - {*before}:
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            left[number] = os.readlink(OPEN / number)
    assert not [each for each in left.values() if each.startswith("socket:")], f"left open: {left}"


async def nothing_left(left: Callable[[int], list[str]], kept: Callable[[], Awaitable[int]]) -> None:
    """`left`: the leftovers, if this many sessions may be open. `kept`: how many the proxies keep on purpose."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                if not left(await kept()):
                    return
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"left behind: {', '.join(left(0))}")


LASTING = frozenset(
    {
        "listen to the gateway",
        "sweep sessions",
        "renew session locks",
        "renew run claims",
        "sync the secret",
        "say that the process lives",
        "listen to other processes",
    }
)
"""Names of tasks that run as long as a proxy."""


async def no_tasks_left(besides: Collection[asyncio.Task[Any]], allowed: Collection[str] = LASTING) -> None:
    """Waits for tasks to end; fails if some do not."""
    tasks = asyncio.all_tasks() - {*besides} - {asyncio.current_task()}
    tasks = {task for task in tasks if task.get_name() not in allowed}
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=PATIENCE)
    assert not tasks, f"tasks left behind: {tasks}"
