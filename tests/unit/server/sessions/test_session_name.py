"""Where a session's name is read from: every place, in order, and nothing at all."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict

from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.server.sessions.session_name import session_name

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


@pytest.mark.parametrize(("place", "param"), [("user", "user"), ("header:X-Chat", "X-Chat")])
def test_a_name_has_a_length(place: str, param: str) -> None:
    headers, fields = CIMultiDict({"X-Chat": "n" * 256}), {"user": "n" * 256}
    assert session_name(headers, fields, (place,)) == "n" * 256
    with pytest.raises(InvalidRequest) as caught:
        session_name(CIMultiDict({"X-Chat": "n" * 257}), {"user": "n" * 257}, (place,))
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, "string_above_max_length")


def test_the_apis_own_session_name_counts_last() -> None:
    assert session_name({}, {}, ("x-session-id",), "found") == "found"
    assert session_name({"x-session-id": "mine"}, {}, ("x-session-id",), "found") == "mine"
    assert session_name({}, {}, ("none",), "found") == session_name({}, {}, ("user",), "found") == ""
