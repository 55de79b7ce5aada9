"""What a test may not leave behind: tasks, sockets, and whatever a gateway still has open."""

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
    """The numbers of what is open; of nothing where the system does not tell."""
    return set(os.listdir(OPEN)) if OPEN.exists() else set()


def check_descriptors(before: Collection[str]) -> None:
    """No more sockets than before. Files and pipes are not looked at: what is used late may open some for good."""
    if len(descriptors()) <= len(before):
        return
    gc.collect()
    left = {}
    for number in descriptors() - {*before}:
        with contextlib.suppress(OSError):  # the one with which we look
            left[number] = os.readlink(OPEN / number)
    assert not [each for each in left.values() if each.startswith("socket:")], f"left open: {left}"


async def nothing_left(left: Callable[[int], list[str]], kept: Callable[[], Awaitable[int]]) -> None:
    """`left`: what is left beside so many sessions. `kept`: how many of them the proxies keep on purpose."""
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
"""Tasks that go on as long as a proxy does."""


async def no_tasks_left(besides: Collection[asyncio.Task[Any]], allowed: Collection[str] = LASTING) -> None:
    """Waits for tasks that are just ending; none may go on."""
    tasks = asyncio.all_tasks() - {*besides} - {asyncio.current_task()}
    tasks = {task for task in tasks if task.get_name() not in allowed}
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=PATIENCE)
    assert not tasks, f"tasks left behind: {tasks}"
