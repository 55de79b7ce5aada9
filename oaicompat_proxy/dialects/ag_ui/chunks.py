"""The short form of messages and calls: which one a chunk continues.

Source: AG-UI 1.1, "The chunked form". The first chunk of an item names it, later ones may leave the name out. The
agent and each of its sub-agents has a short form of its own going; an untagged chunk without a name continues the
agent's, else the only one that is open.
"""

from __future__ import annotations

from typing import NamedTuple

from ...core.errors import UpstreamError
from .limits import Budget

MOST_OPEN = 1024 * 1024
"""Characters of the names of all short forms that are open at a time."""


class Step(NamedTuple):
    """What one chunk means for its item."""

    item_id: str
    owner: str
    """The sub-agent whose item it is; empty for the agent's own."""
    opens: bool
    closed: str | None
    """The item that this chunk has brought to its end."""


class _Open(NamedTuple):
    item_id: str
    label: str


class ChunkStreams:
    """The open short forms of one kind of event."""

    def __init__(self, kind: str, id_field: str, label_field: str = "") -> None:
        """`kind`: the event's name. `label_field`: what a later chunk may repeat, but not change."""
        self._kind = kind
        self._id_field = id_field
        self._label_field = label_field
        self._budget = Budget(MOST_OPEN, f"open {kind} items")
        # moving
        self.open: dict[str, _Open] = {}
        """By their owners."""
        self._owners: dict[str, str] = {}
        """Of the open items, by their ids."""

    def accept(self, item_id: str | None, owner: str, label: str, default: str = "") -> Step:
        """`label`: the role of a message or the name of a call; empty if it is not told, and then means `default`.

        Raises UpstreamError for a first chunk that names no item, and for one that says something else than the first.
        """
        if not owner:
            owner = self._find_owner(item_id)
        current = self.open.get(owner)
        if current is not None and item_id in (None, current.item_id):
            if label and label != current.label:
                raise UpstreamError(
                    f"The agent sent a {self._kind} event whose `{self._label_field}` is not its item's."
                )
            return Step(current.item_id, owner, False, None)
        if item_id is None:
            raise UpstreamError(
                f"The agent sent a {self._kind} event without `{self._id_field}`, and none to continue."
            )
        closed = self.close(owner)
        self._budget.take(item_id + owner)
        self.open[owner] = _Open(item_id, label or default)
        self._owners[item_id] = owner
        return Step(item_id, owner, True, closed)

    def close(self, owner: str) -> str | None:
        """Something else came from this owner: its item is over. Returns the item's id if there is one."""
        ended = self.open.pop(owner, None)
        if ended is None:
            return None
        self._owners.pop(ended.item_id, None)
        self._budget.give_back(ended.item_id + owner)
        return ended.item_id

    def _find_owner(self, item_id: str | None) -> str:
        """Whose item an untagged chunk continues."""
        if item_id is not None:
            return self._owners.get(item_id, "")
        if "" in self.open or not self.open:
            return ""
        if len(self.open) > 1:
            raise UpstreamError(f"The agent sent a {self._kind} event that may continue several items.")
        return next(iter(self.open))
