"""How the details of a run are shown: cut to a size, masked, and always without secrets."""

from __future__ import annotations

import pytest

from oaicompat_proxy.server.inspection.run_details import MAX_BODY, Shown


@pytest.mark.parametrize(("size", "whole"), [(MAX_BODY, True), (MAX_BODY + 1, False)])
def test_a_long_request_is_cut_and_says_so(size: int, whole: bool) -> None:
    shown = Shown(content=True).body(b"x" * size)
    assert (shown["bytes"], shown["whole"], len(shown["text"])) == (size, whole, MAX_BODY)


def test_without_content_every_text_is_masked() -> None:
    shown = Shown(content=False)
    assert shown.body(b'{"model": "m", "user": "Ann"}')["text"] == '{"model": "m", "xxxx": "xxx"}'
    headers = {"Content-Type": "text/plain", "X-Tenant": "a2"}
    assert shown.headers(headers) == headers | {"X-Tenant": "x1"}
    assert shown.name("Ann") == "xxx"


@pytest.mark.parametrize("content", [True, False])
def test_a_secret_is_shown_nowhere(content: bool) -> None:
    shown = Shown(content=content, secrets=["", "k-1"])
    assert shown.plain("key k-1, k-1") == "key [redacted], [redacted]"
    assert "k-1" not in shown.body(b'{"model": "k-1"}')["text"]
    assert "k-1" not in shown.headers({"Content-Type": "k-1"})["Content-Type"]


def test_half_a_character_can_be_shown() -> None:
    assert Shown(content=True).plain("a\ud83d") == "a?"
