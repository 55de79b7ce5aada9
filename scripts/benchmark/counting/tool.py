"""The interface of a tool that counts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ..targets.stage import Stage, Target
from .slope import Counts

START = 180.0
"""Seconds for a target to start under a tool, which makes it fifty times slower, on a busy machine."""
FIXED_HASHES = ("env", "PYTHONHASHSEED=0")
"""Gives sets of strings the same order in every process."""

Running = Iterator[Target]


class ToolFailed(Exception):
    """A tool gave no counts; the message says why."""


class Tool(Protocol):
    """Counts instructions or calls of a target."""

    def running(self, stage: Stage, name: str, home: Path) -> contextlib.AbstractContextManager[Target]:
        """The target, started under the tool. `home`: a directory for files. Raises StartFailed."""

    def take(self) -> Counts:
        """The counts since they were last taken. Raises ToolFailed."""
