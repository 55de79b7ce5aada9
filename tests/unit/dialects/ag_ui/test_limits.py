"""Limits of the memory that a run can cause."""

from __future__ import annotations

import pytest

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.dialects.ag_ui.limits import ENTRY_COST, SizeLimit


def test_entries_and_their_texts_count_until_they_are_given_back() -> None:
    limit = SizeLimit(2 * ENTRY_COST + 10, "boats")
    for _ in range(100):
        limit.add("x" * 5)
        limit.add("x" * 5)
        with pytest.raises(UpstreamError, match="characters of boats"):
            limit.grow(1)
        limit.grow(-1)
        limit.remove("x" * 5)
        limit.remove("x" * 5)
