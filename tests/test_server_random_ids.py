"""Names that nobody has twice: neither in this process nor in one that was forked from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from oaicompat_proxy.server.random_ids import AT_ONCE, Names, new_id, new_secret

MANY = 3 * AT_ONCE + 1


@pytest.mark.parametrize(
    ("draw", "pattern", "characters"), [(new_id, r"[0-9a-f]{32}", 16), (new_secret, r"[\w-]{32}", 64)]
)
def test_names_look_alike_and_are_all_different(draw: Callable[[], str], pattern: str, characters: int) -> None:
    names = [draw() for _ in range(MANY)]
    assert len(set(names)) == MANY
    assert all(re.fullmatch(pattern, name, re.ASCII) for name in names)
    for place in range(32):
        assert len({name[place] for name in names}) > characters // 2, "nothing counts up, and nothing is fixed"


def test_the_system_is_asked_for_all_the_chance_that_is_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def urandom(size: int) -> bytes:
        asked.append(size)
        return b"".join(number.to_bytes(2, "big") for number in range(size // 2))

    monkeypatch.setattr(os, "urandom", urandom)
    names = Names(2, bytes.hex)
    drawn = {names.draw() for _ in range(AT_ONCE)}
    assert drawn == {f"{number:04x}" for number in range(AT_ONCE)}
    assert asked == [2 * AT_ONCE]
    names.draw()
    assert asked == [2 * AT_ONCE] * 2


FORK = """
import os
from oaicompat_proxy.server.random_ids import AT_ONCE, new_id, new_secret
new_id(), new_secret()  # so that more of them are ready
child = os.fork()
if child:
    os.waitpid(child, 0)
print(*(draw() for draw in (new_id, new_secret) for _ in range(AT_ONCE)))
"""


def test_a_forked_process_has_names_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=30, check=True)
    names = done.stdout.split()
    assert len(set(names)) == len(names) == 2 * 2 * AT_ONCE


def test_threads_do_not_get_the_same() -> None:
    drawn: list[list[str]] = [[] for _ in range(8)]

    def draw_many(mine: list[str]) -> None:
        mine += [new_id() for _ in range(20 * AT_ONCE)]

    threads = [threading.Thread(target=draw_many, args=(mine,)) for mine in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [name for mine in drawn for name in mine]
    assert len(set(names)) == len(names) == 8 * 20 * AT_ONCE
