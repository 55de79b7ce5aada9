"""Where a session's name is read from: every place, in order, and nothing at all."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict

from oaicompat_proxy.web.session_name import session_name

HEADERS = CIMultiDict({"X-Session-Id": "a", "X-OpenWebUI-Chat-Id": "b", "session-id": "c"})
FIELDS: dict[str, Any] = {"user": "d", "prompt_cache_key": "e", "metadata": {"session_id": "f"}}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("x-session-id", "a"),
        ("header:x-openwebui-chat-id", "b"),
        ("header:Session-ID", "c"),
        ("user", "d"),
        ("prompt_cache_key", "e"),
        ("metadata.session_id", "f"),
        ("none", ""),
        ("header:X-Other", ""),
    ],
)
def test_a_name_is_read_from_its_place(place: str, name: str) -> None:
    assert session_name(HEADERS, FIELDS, (place,)) == name


def test_the_first_place_that_has_a_name_counts() -> None:
    places = ("header:X-Other", "metadata.session_id", "x-session-id")
    assert session_name(HEADERS, FIELDS, places) == "f"
    assert session_name(HEADERS, {"metadata": {"session_id": ""}}, places) == "a"
    assert session_name(CIMultiDict(), {"metadata": None}, places) == ""
