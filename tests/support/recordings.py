"""The recordings that a proxy has written into a directory."""

from __future__ import annotations

import asyncio
from pathlib import Path

from oaicompat_proxy.recordings.format import Recording, read
from tests.support.scripted_gateway import PATIENCE


def recordings(directory: Path) -> list[Recording]:
    return [read(path.read_bytes()) for path in sorted(directory.iterdir())]


async def first_recording(directory: Path) -> Recording:
    """The first recording whose request has ended; waits for it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for recording in recordings(directory):
                if recording.bytes_of("end"):
                    return recording
            await asyncio.sleep(0.01)
