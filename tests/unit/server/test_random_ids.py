from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest

from oaicompat_proxy.server.random_ids import BATCH, new_id, new_secret

MANY = 400


@pytest.mark.parametrize(
    ("new", "pattern", "characters"), [(new_id, r"[0-9a-f]{32}", 16), (new_secret, r"[\w-]{32}", 64)]
)
def test_ids_have_one_form_and_differ_in_every_place(new: Callable[[], str], pattern: str, characters: int) -> None:
    ids = [new() for _ in range(MANY)]
    assert len(set(ids)) == MANY
    assert all(re.fullmatch(pattern, each, re.ASCII) for each in ids)
    for place in range(32):
        assert len({each[place] for each in ids}) > characters // 2


@pytest.mark.parametrize("new", [new_id, new_secret])
def test_a_forked_process_has_ids_of_its_own(new: Callable[[], str]) -> None:
    new()  # the others of its batch are left
    read, write = os.pipe()
    if not (child := os.fork()):
        os.write(write, new().encode())
        os._exit(0)
    os.waitpid(child, 0)
    forked = os.read(read, 100).decode()
    os.close(read)
    os.close(write)
    assert len(forked) == 32
    assert forked not in [new() for _ in range(BATCH)]
