"""Requests figures from a target: sends a file's name through a FIFO; the target writes its figures there as JSON."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .tool import ToolFailed

PATIENCE = 240.0
"""Seconds for an answer: tracemalloc takes half a minute for it on a busy machine."""


class Fifo:
    """The requesting side."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._asked = 0
        os.mkfifo(path)

    def ask(self) -> Any:
        """The figures. Raises ToolFailed."""
        self._asked += 1
        file = self.path.with_name(f"{self.path.name}-{self._asked}.json")
        self.path.write_text(f"{file}\n", "utf-8")
        deadline = time.monotonic() + PATIENCE
        while not file.exists():
            if time.monotonic() > deadline:
                raise ToolFailed("the target did not write its figures")
            time.sleep(0.02)
        return json.loads(file.read_text("utf-8"))


def answer_forever(path: Path, read: Callable[[], Any]) -> None:
    """The answering side; runs in a thread. `read`: returns the figures."""
    threading.Thread(target=_answer, args=(path, read), daemon=True).start()


def _answer(path: Path, read: Callable[[], Any]) -> None:
    while True:
        for line in path.read_text("utf-8").splitlines():
            file = Path(line)
            unfinished = file.with_suffix(".part")
            unfinished.write_text(json.dumps(read()), "utf-8")
            unfinished.rename(file)
