from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from oaicompat_proxy.server.random_ids import new_id, new_secret

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
