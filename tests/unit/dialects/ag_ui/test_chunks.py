"""Which item a chunk continues, for the agent and each of its sub-agents."""

from __future__ import annotations

import pytest

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.dialects.ag_ui import chunks
from oaicompat_proxy.dialects.ag_ui.chunks import ChunkStreams, ChunkTarget


def streams() -> ChunkStreams:
    return ChunkStreams("TEXT_MESSAGE_CHUNK", "messageId", "role")


def test_later_chunks_leave_the_name_out_or_repeat_it() -> None:
    open_ = streams()
    assert open_.accept("a1", "", "", "assistant") == ChunkTarget("a1", "", True, None)
    assert open_.accept(None, "", "") == open_.accept("a1", "", "assistant") == ChunkTarget("a1", "", False, None)


def test_another_name_ends_the_item_of_the_same_owner_only() -> None:
    open_ = streams()
    open_.accept("a1", "", "")
    open_.accept("s1", "child", "")
    assert open_.accept("a2", "", "") == ChunkTarget("a2", "", True, "a1")
    assert open_.accept("s2", "child", "") == ChunkTarget("s2", "child", True, "s1")


def test_an_unnamed_chunk_continues_the_agents_item_else_the_only_one() -> None:
    open_ = streams()
    open_.accept("s1", "child", "")
    assert open_.accept(None, "", "") == open_.accept("s1", "", "") == ChunkTarget("s1", "child", False, None)
    open_.accept("a1", "", "")
    assert open_.accept(None, "", "") == ChunkTarget("a1", "", False, None)
    assert open_.close("") == "a1"
    open_.accept("s2", "other", "")
    with pytest.raises(UpstreamError, match="several items"):
        open_.accept(None, "", "")


def test_a_chunk_that_continues_nothing_has_a_name() -> None:
    open_ = streams()
    with pytest.raises(UpstreamError, match="without `messageId`"):
        open_.accept(None, "", "")
    open_.accept("a1", "", "")
    assert (open_.close(""), open_.close("")) == ("a1", None)
    with pytest.raises(UpstreamError, match="without `messageId`"):
        open_.accept(None, "", "")


@pytest.mark.parametrize("label", ["user", "system"])
def test_a_later_chunk_does_not_contradict_the_first(label: str) -> None:
    open_ = streams()
    open_.accept("a1", "", "", "assistant")
    with pytest.raises(UpstreamError, match="`role` is not its item's"):
        open_.accept("a1", "", label)


def test_open_items_are_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MAX_OPEN", 1000)
    open_ = streams()
    for number in range(100):
        open_.accept(str(number), "", "")
    for owner in ("s1", "s2"):
        open_.accept("s", owner, "")
    with pytest.raises(UpstreamError, match="open TEXT_MESSAGE_CHUNK items"):
        open_.accept("s", "s3", "")
