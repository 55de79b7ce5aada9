"""The dialects, by the names that the setting `dialect` has for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..core.sse import HEAD, FrameReader, Keep
from .ag_ui.dialect import AgUi
from .agentick.dialect import Agentick
from .protocol import Dialect

DIALECTS: Mapping[str, Dialect] = MappingProxyType({"agentick": Agentick(), "ag-ui": AgUi()})


def find_dialect(stream: bytes) -> str | None:
    """The name of the dialect of a whole event stream, from the first event that one recognizes; None if none does."""
    frames = FrameReader(max_frame=len(stream) + HEAD, judge=lambda _head: _HEADS)
    for frame in frames.feed(stream):
        for name, dialect in DIALECTS.items():
            if dialect.recognizes(frame.data):
                return name
    return None


_HEADS = Keep(None, HEAD)
