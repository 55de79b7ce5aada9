"""Assigns `…_CHUNK` events, the short form of message and tool call events, to their message or call (the item).

Source: AG-UI 1.1, "The chunked form". The first chunk of an item has the item's id, later ones may
leave it out. The agent and each of its sub-agents may have one open item of a kind. A chunk without item id and without
`subagentRunId` continues the agent's item, else the only open item.
"""

from __future__ import annotations

from typing import NamedTuple

from ...core.errors import UpstreamError
from .limits import SizeLimit

MAX_OPEN = 1024 * 1024
"""Characters of the ids of all open items, at most."""


class ChunkTarget(NamedTuple):
    """The item that a chunk belongs to."""

    item_id: str
    owner: str
    """The sub-agent that owns the item; empty for the agent itself."""
    opens: bool
    """Whether the chunk is the first of its item."""
    closed: str | None
    """The id of the item that this chunk has ended, if any."""


class _Open(NamedTuple):
    item_id: str
    label: str


class ChunkStreams:
    """The open items of one kind of chunk event."""

    def __init__(self, kind: str, id_field: str, label_field: str = "") -> None:
        """`kind`: the event's name. `label_field`: a field that later chunks may repeat but not change."""
        self._kind = kind
        self._id_field = id_field
        self._label_field = label_field
        self._limit = SizeLimit(MAX_OPEN, f"open {kind} items")
        # state
        self.open: dict[str, _Open] = {}
        """Open items by their owners."""
        self._owners: dict[str, str] = {}
        """Owners of the open items, by the items' ids."""

    def accept(self, item_id: str | None, owner: str, label: str, default: str = "") -> ChunkTarget:
        """Finds the item of a chunk. `label`: a message's role or a call's tool; an empty one means `default`.

        Raises UpstreamError for a first chunk without an item id, and for one whose label differs from the first
        chunk's.
        """
        if not owner:
            owner = self._find_owner(item_id)
        current = self.open.get(owner)
        if current is not None and item_id in (None, current.item_id):
            if label and label != current.label:
                raise UpstreamError(
                    f"The agent sent a {self._kind} event whose `{self._label_field}` is not its item's."
                )
            return ChunkTarget(current.item_id, owner, False, None)
        if item_id is None:
            raise UpstreamError(
                f"The agent sent a {self._kind} event without `{self._id_field}`, and none to continue."
            )
        closed = self.close(owner)
        self._limit.add(item_id + owner)
        self.open[owner] = _Open(item_id, label or default)
        self._owners[item_id] = owner
        return ChunkTarget(item_id, owner, True, closed)

    def close(self, owner: str) -> str | None:
        """Ends the owner's open item, because another event of the owner came. Returns the item's id, or None."""
        ended = self.open.pop(owner, None)
        if ended is None:
            return None
        self._owners.pop(ended.item_id, None)
        self._limit.remove(ended.item_id + owner)
        return ended.item_id

    def _find_owner(self, item_id: str | None) -> str:
        """The owner of the item that a chunk without `subagentRunId` continues."""
        if item_id is not None:
            return self._owners.get(item_id, "")
        if "" in self.open or not self.open:
            return ""
        if len(self.open) > 1:
            raise UpstreamError(f"The agent sent a {self._kind} event that may continue several items.")
        return next(iter(self.open))
