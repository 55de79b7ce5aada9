"""Lines reach stderr together, soon, whole, and always before the process ends."""

from __future__ import annotations

import asyncio
import io
import itertools
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from select import PIPE_BUF

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.server.observability import log_handler as line_handler
from oaicompat_proxy.server.observability.log_handler import LineHandler

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])


class Written(io.StringIO):
    """Remembers each write."""

    line_buffering = True

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        if self.closed:
            raise ValueError("closed")
        self.writes.append(text)
        return len(text)


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "levelno": level})


def on_loop(loop: Callable[[], asyncio.AbstractEventLoop], play: Callable[[LineHandler, Written], None]) -> list[str]:
    """What is written when this is done in one turn."""
    stream = Written()
    handler = LineHandler(stream)

    async def run() -> None:
        play(handler, stream)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    return stream.writes


@LOOPS
def test_lines_of_one_turn_are_written_together_at_its_end(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    def play(handler: LineHandler, stream: Written) -> None:
        for text in "abc":
            handler.handle(record(text))
        assert stream.writes == []

    assert on_loop(loop, play) == ["a\nb\nc\n"]


@LOOPS
def test_a_warning_does_not_wait_and_neither_does_what_stands_before_it(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    def play(handler: LineHandler, stream: Written) -> None:
        handler.handle(record("calm"))
        handler.handle(record("alarm", logging.WARNING))
        assert stream.writes == ["calm\nalarm\n"]
        handler.handle(record("calm again"))

    assert on_loop(loop, play) == ["calm\nalarm\n", "calm again\n"]


@LOOPS
def test_lines_of_another_thread_are_not_lost(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    def play(handler: LineHandler, stream: Written) -> None:
        for text in ("first", "second"):
            thread = threading.Thread(target=handler.handle, args=(record(f"from a thread: {text}"),))
            if text == "second":
                handler.handle(record("from the loop"))
            thread.start()
            thread.join()

    assert "".join(on_loop(loop, play)) == "from a thread: first\nfrom the loop\nfrom a thread: second\n"


@pytest.mark.parametrize("line_buffering", [True, False])
def test_without_a_loop_a_line_is_written_at_once(tmp_path: Path, line_buffering: bool) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file, io.TextIOWrapper(file, line_buffering=line_buffering) as stream:
        handler = LineHandler(stream)
        for count in (1, 2):
            handler.handle(record("calm"))
            assert path.read_text() == "calm\n" * count


@given(st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8")).map(lambda text: text * 40)))
def test_no_write_is_longer_than_a_pipe_takes_in_one_piece_but_for_a_single_line(texts: list[str]) -> None:
    lines = [f"{text}\n" for text in texts]
    writes = list(line_handler._writes(lines))
    assert "".join(writes) == "".join(lines)
    assert all(write.endswith("\n") for write in writes)
    assert all(len(write.encode()) <= PIPE_BUF or write in lines for write in writes)
    for write, after in itertools.pairwise(writes):
        first_line = after[: after.index("\n") + 1]
        assert len((write + first_line).encode()) > PIPE_BUF, "no more writes than needed"


def test_a_line_that_cannot_be_made_costs_only_itself(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Written()
    handler = LineHandler(stream)
    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))
    handler.handle(record("sound"))
    assert stream.writes == ["sound\n"]
    assert "no number" in capsys.readouterr().err


LAST_LINE = """
import asyncio, logging, sys
from oaicompat_proxy.server.observability.log_handler import LineHandler
logging.basicConfig(level="INFO", handlers=[LineHandler()])
async def main():
    logging.info("the last line")
    {end}
asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["pass", "sys.exit(0)", "raise SystemExit", "asyncio.get_running_loop().stop()"])
def test_the_last_line_of_a_process_is_written(end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAST_LINE.format(end=end)], capture_output=True, text=True, check=False
    )
    assert "the last line\n" in done.stderr


@LOOPS
def test_what_cannot_be_written_is_no_fault_of_the_loop(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """It would be reported by a line of the log."""
    faults: list[object] = []

    def play(handler: LineHandler, stream: Written) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        handler.handle(record("nobody reads this"))
        stream.close()

    on_loop(loop, play)
    assert faults == []


def test_a_stderr_that_nobody_reads_stops_nothing() -> None:
    command = LAST_LINE.format(end="await asyncio.sleep(0.01); print('goes on', flush=True)")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=writing, check=False)
    finally:
        os.close(writing)
    assert done.stdout == b"goes on\n"
