"""Recordings as kept data: the name of a file tells whose run it is, as a digest of the caller's scope."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from ...core.caller import Owner
from .directory import NAME

UNIQUE_LENGTH = 6
"""Digits that follow them in a name."""


class RecordingData:
    """The recordings in a directory. One that is being written is deleted, too; its run goes on without it."""

    kind = "recordings"
    place = ""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def count(self, owner: Owner) -> int:
        return len(await asyncio.to_thread(self._find, owner.mark))

    async def delete(self, owner: Owner) -> int:
        return await asyncio.to_thread(self._delete, owner.mark)

    def _find(self, mark: str) -> list[str]:
        """`mark`: the beginning of those of the owner."""
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        return [name for name in names if NAME.fullmatch(name) and _mark_in(name).startswith(mark)]

    def _delete(self, mark: str) -> int:
        """Raises OSError for a file that cannot be deleted."""
        names = self._find(mark)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (self._directory / name).unlink()
        return len(names)


def _mark_in(name: str) -> str:
    return Path(name).stem.rpartition("-")[2][:-UNIQUE_LENGTH]
