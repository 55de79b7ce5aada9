"""All dialects, by their names in the setting `dialect`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..core.sse import PEEK_BYTES, FrameReader, Kept
from .ag_ui.dialect import AgUi
from .agentick.dialect import Agentick
from .protocol import Dialect

DIALECTS: Mapping[str, Dialect] = MappingProxyType({"agentick": Agentick(), "ag-ui": AgUi()})


def find_dialect(stream: bytes) -> str | None:
    """The name of the dialect of a complete event stream: the first that recognises an event; None if none does."""
    frames = FrameReader(max_frame=len(stream) + PEEK_BYTES, frame_filter=lambda _head: _KEEP_PEEK)
    for frame in frames.feed(stream):
        for name, dialect in DIALECTS.items():
            if dialect.recognizes(frame.data):
                return name
    return None


_KEEP_PEEK = Kept(None, PEEK_BYTES)
