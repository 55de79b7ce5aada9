"""Recordings as kept data: the name of a file tells whose run it is, as a digest of the caller's scope."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

from .directory import NAME

MARK_LENGTH = 12
"""Hexadecimal digits: 48 bits, so that no two of some thousand callers have the same."""

UNIQUE_LENGTH = 6
"""Digits that follow them in a name."""


def owner_mark(scope: str) -> str:
    """What stands for a caller in the names of its recordings; nobody can read the caller from it."""
    return hashlib.sha256(f"recordings\0{scope}".encode("utf-8", "surrogatepass")).hexdigest()[:MARK_LENGTH]


class RecordingData:
    """The recordings in a directory. One that is being written is deleted, too; its run goes on without it."""

    kind = "recordings"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def count(self, scope: str) -> int:
        return len(await asyncio.to_thread(self._find, scope))

    async def delete(self, scope: str) -> int:
        return await asyncio.to_thread(self._delete, scope)

    def _find(self, scope: str) -> list[str]:
        mark = owner_mark(scope)
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        return [name for name in names if NAME.fullmatch(name) and _mark_in(name) == mark]

    def _delete(self, scope: str) -> int:
        """Raises OSError for a file that cannot be deleted."""
        names = self._find(scope)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (self._directory / name).unlink()
        return len(names)


def _mark_in(name: str) -> str:
    return Path(name).stem.rpartition("-")[2][:-UNIQUE_LENGTH]
