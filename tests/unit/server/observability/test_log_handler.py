"""Lines of one turn of the event loop are one write; warnings, and lines without a loop, are written at once."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from select import PIPE_BUF

import pytest
import uvloop

from oaicompat_proxy.server.observability.log_handler import TurnHandler

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
LOOPS = pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])


class Writes(io.StringIO):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def write(self, text: str) -> int:
        self.seen.append(text)
        return super().write(text)


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "levelno": level})


def in_one_turn(loop_factory: LoopFactory, *records: logging.LogRecord) -> tuple[list[str], list[str]]:
    """The output during the turn in which these were logged, and until the loop's end."""
    stream = Writes()
    handler = TurnHandler(stream)

    async def run() -> list[str]:
        for each in records:
            handler.handle(each)
        return list(stream.seen)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        during = runner.run(run())
    return during, stream.seen


@pytest.mark.slow
@LOOPS
def test_lines_of_one_turn_are_one_write(loop_factory: LoopFactory) -> None:
    assert in_one_turn(loop_factory, *map(record, "abc")) == ([], ["a\nb\nc\n"])


@pytest.mark.slow
@LOOPS
def test_lines_of_the_next_turn_are_another_write(loop_factory: LoopFactory) -> None:
    stream = Writes()
    handler = TurnHandler(stream)

    async def run() -> None:
        for text in "ab":
            handler.handle(record(text))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert stream.seen[-1] == f"{text}\n"

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())


@LOOPS
def test_a_warning_is_written_at_once_with_the_lines_before_it(loop_factory: LoopFactory) -> None:
    during, whole = in_one_turn(loop_factory, record("one"), record("two", logging.WARNING), record("three"))
    assert during == ["one\ntwo\n"]
    assert whole == ["one\ntwo\n", "three\n"]


def test_without_a_loop_each_line_is_written_at_once() -> None:
    stream = Writes()
    handler = TurnHandler(stream)
    handler.handle(record("one"))
    assert stream.seen == ["one\n"]
    handler.handle(record("two"))
    assert stream.seen == ["one\n", "two\n"]


def test_lines_of_a_stopped_loop_are_written_by_the_next() -> None:
    stream = Writes()
    handler = TurnHandler(stream)

    async def log(text: str) -> None:
        handler.handle(record(text))

    stopped = asyncio.new_event_loop()
    stopped.run_until_complete(log("one"))
    stopped.close()
    asyncio.run(log("two"))
    assert stream.getvalue() == "one\ntwo\n"


def test_lines_of_a_thread_keep_their_order() -> None:
    stream = Writes()
    handler = TurnHandler(stream)

    async def run() -> None:
        handler.handle(record("from the loop"))
        thread = threading.Thread(target=handler.handle, args=(record("from a thread"),))
        thread.start()
        thread.join()

    asyncio.run(run())
    assert stream.getvalue() == "from the loop\nfrom a thread\n"


def test_a_write_of_several_lines_fits_into_a_pipe() -> None:
    lines = [character * (PIPE_BUF // 8) for character in "abcdefgéh"] + ["i" * PIPE_BUF * 2, "j"]
    _, writes = in_one_turn(asyncio.new_event_loop, *map(record, lines))
    assert "".join(writes) == "".join(f"{line}\n" for line in lines)
    assert [len(write.encode()) <= PIPE_BUF for write in writes] == [True, True, False, True]


def test_a_closed_stream_stops_nothing() -> None:
    stream = Writes()
    stream.close()
    handler = TurnHandler(stream)
    ran = []

    async def run() -> None:
        handler.handle(record("lost"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ran.append(True)

    asyncio.run(run())
    assert ran == [True]


AT_EXIT = """
import asyncio, logging
from oaicompat_proxy.server.observability.log_handler import TurnHandler

logging.basicConfig(level="INFO", handlers=[TurnHandler()], format="%(message)s")

async def run():
    logging.info("the last line")

asyncio.new_event_loop().run_until_complete(run())
"""


def test_the_rest_is_written_at_exit() -> None:
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == "the last line\n"
