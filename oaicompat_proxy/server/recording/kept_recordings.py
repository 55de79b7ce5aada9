"""Recordings as a kind of kept data: the name of a file contains the caller's mark, a digest of its scope."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from ...core.caller import Owner
from .directory import NAME

UNIQUE_LENGTH = 6
"""Random digits behind the mark in a file's name."""


class RecordingData:
    """The recordings in a directory. A recording that is being written is deleted, too; its run goes on."""

    kind = "recordings"
    place = ""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def count(self, owner: Owner) -> int:
        return len(await asyncio.to_thread(self._find, owner.mark))

    async def delete(self, owner: Owner) -> int:
        return await asyncio.to_thread(self._delete, owner.mark)

    def _find(self, mark: str) -> list[str]:
        """The names of the owner's recordings. `mark`: prefix of the owner's marks."""
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        return [name for name in names if NAME.fullmatch(name) and _mark_in(name).startswith(mark)]

    def _delete(self, mark: str) -> int:
        """Deletes the owner's recordings. Raises OSError for a file that cannot be deleted."""
        names = self._find(mark)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (self._directory / name).unlink()
        return len(names)


def _mark_in(name: str) -> str:
    return Path(name).stem.rpartition("-")[2][:-UNIQUE_LENGTH]
